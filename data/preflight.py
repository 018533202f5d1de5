"""Is this a text file that can be read row by row? Looked at in small pieces before any reader sees it.

A file that is binary, in another encoding, or one endless line is refused here in bounded memory, with its line; what
only needs mending (another encoding that the mapping names, mixed line ends) is rewritten into a scratch folder.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from data.errors import DataError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["MAX_LINE", "Survey", "header_of", "lines_at", "survey"]

MAX_LINE = 2 * 1024 * 1024  # bytes; the longest long-text field of the large CRMs is 128 kB
_CHUNK = 1024 * 1024
_DELIMITERS = (",", ";", "\t", "|")
_BINARY = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"SQLite format 3": "a SQLite database",
    b"%PDF": "a PDF",
}


@dataclass(frozen=True)
class Survey:
    """What a first pass over a text file found: the file to read on from, its physical lines and its content hash."""

    readable: Path
    lines: int
    sha256: str


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed bytes in pieces of one MiB; a damaged gzip file is a DataError."""
    try:
        with _open(path) as stream:
            while piece := stream.read(_CHUNK):
                yield piece
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(f"{path.name} is a damaged gzip file", hint="export or copy it again") from None
    except OSError as error:
        raise InfrastructureError(f"{path.name} cannot be read: {error.strerror}", hint="check its rights") from None


class _Watch:
    """Counts lines over the pieces of a file and refuses the one that does not end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines = 0
        self.open_length = 0
        self.held = b""
        self.last_byte = b""
        self.ends: set[bytes] = set()

    def see(self, piece: bytes) -> None:
        piece = self.held + piece
        self.held = b"\r" if piece.endswith(b"\r") else b""  # its \n may come with the next piece
        piece = piece.removesuffix(b"\r")
        returns = b"\r" in piece  # asked once: each count below is a pass over the whole file
        text = piece.replace(b"\r\n", b"\n") if returns else piece
        self._note_ends(piece, returns=returns)
        breaks = text.count(b"\n") + (text.count(b"\r") if returns else 0)
        first, last = _first_break(text), max(text.rfind(b"\n"), text.rfind(b"\r"))
        reach = self.open_length + (first if first >= 0 else len(text))
        if reach > MAX_LINE:
            raise DataError(
                f"line {self.lines + 1} of {self.name} is longer than {MAX_LINE // 1024**2} MiB",
                hint="this is no table of rows, or a quote is never closed; look at that line",
            )
        self.open_length = reach if first < 0 else len(text) - last - 1
        self.lines += breaks
        self.last_byte = piece[-1:] or self.last_byte

    def _note_ends(self, piece: bytes, *, returns: bool) -> None:
        if not returns:
            self.ends |= {b"\n"} if b"\n" in piece else set()
            return
        paired = piece.count(b"\r\n")
        if paired:
            self.ends.add(b"\r\n")
        if piece.count(b"\n") > paired:
            self.ends.add(b"\n")
        if piece.count(b"\r") > paired:
            self.ends.add(b"\r")

    def total(self) -> int:
        if self.held:
            return self.lines + 1
        return self.lines + (self.last_byte not in {b"\n", b""})


def _first_break(text: bytes) -> int:
    found = [at for at in (text.find(b"\n"), text.find(b"\r")) if at >= 0]
    return min(found, default=-1)


def survey(path: Path, *, encoding: str, scratch: Path, tell: Callable[[float], None] | None = None) -> Survey:
    """Look at a text file in one pass of bounded memory.

    Parameters
    ----------
    path
        A CSV or TSV file, gzip-compressed where its name ends in .gz.
    encoding
        What the mapping names; anything but UTF-8 is rewritten as UTF-8.
    scratch
        Where a rewritten copy may go.
    tell
        Called now and then with the share of the file that was looked at, 0 to 1.

    Raises
    ------
    DataError
        If the file is empty, binary, in another encoding, holds NUL bytes or a line longer than `MAX_LINE`.
    """
    if codecs.lookup(encoding).name not in {"utf-8", "ascii", "utf-8-sig"}:
        path = _rewrite(path, encoding=encoding, scratch=scratch)
    watch, digest = _Watch(path.name), hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = path.stat().st_size
    for number, piece in enumerate(_chunks(path)):
        if tell and number % 16 == 0:
            tell(min(1.0, number * _CHUNK / size))  # a packed file is larger than it says, and waits at the end
        if number == 0:
            _refuse_binary(path.name, piece)
        watch.see(piece)
        if b"\0" in piece:
            raise _nul(path.name, watch, piece)
        if decoder.getstate()[0] or not piece.isascii():
            _decode(decoder, piece, name=path.name, before=watch.lines)
        digest.update(piece)
    if watch.total() == 0:
        raise DataError(f"{path.name} is empty", hint="export it again, or take it out of the mapping")
    _decode(decoder, b"", name=path.name, before=watch.lines, final=True)
    readable = _rewrite(path, encoding="utf-8", scratch=scratch) if len(watch.ends) > 1 else path
    return Survey(readable, watch.total(), digest.hexdigest())


def _refuse_binary(name: str, piece: bytes) -> None:
    for magic, what in _BINARY.items():
        if piece.startswith(magic):
            raise DataError(f"{name} is {what}, not a text table", hint="give it the right suffix, or export as CSV")
    if piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{name} is not UTF-8", hint="write encoding: utf-16 beside its path in the mapping")
    control = sum(piece.count(bytes([code])) for code in range(32) if code not in {9, 10, 11, 12, 13, 26})
    if control > len(piece) // 20:
        raise DataError(f"{name} is a binary file, not a text table", hint="export it as CSV, Parquet or Excel")


def _nul(name: str, watch: _Watch, piece: bytes) -> DataError:
    line = watch.lines - piece.count(b"\n", piece.index(b"\0")) + 1
    return DataError(f"line {line} of {name} holds a NUL byte", hint="the file is damaged; export it again")


def _decode(decoder: codecs.IncrementalDecoder, piece: bytes, *, name: str, before: int, final: bool = False) -> None:
    try:
        decoder.decode(piece, final)
    except UnicodeDecodeError as error:
        line = before - error.object.count(b"\n", error.start) + 1
        raise DataError(
            f"{name} is not UTF-8: line {line} holds bytes of another encoding",
            hint=f"write encoding: {_likely_encoding(piece or error.object)} beside its path in the mapping",
        ) from None


def _likely_encoding(piece: bytes) -> str:
    """Name the encoding to try: in a Chinese export nearly every pair of high bytes is a Chinese character.

    A single accented letter eats the plain letter after it and so makes a character of one high byte.
    """
    high = sum(byte >= 0x80 for byte in piece)
    chinese = sum("\u4e00" <= letter <= "\u9fff" for letter in piece.decode("gb18030", errors="ignore"))
    return "gb18030" if 0.8 * high < 2 * chinese < 1.3 * high else "cp1252"


def _rewrite(path: Path, *, encoding: str, scratch: Path) -> Path:
    """Write a copy in UTF-8 with plain line ends, without holding it in memory."""
    target = scratch / f"{path.name.removesuffix('.gz')}.{hashlib.sha256(str(path).encode()).hexdigest()[:8]}.csv"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    try:
        with target.open("w", encoding="utf-8", newline="") as out:
            for piece in _chunks(path):
                out.write(decoder.decode(piece))
            out.write(decoder.decode(b"", final=True))
    except UnicodeError:
        raise DataError(f"{path.name} is not in {encoding}", hint="name its true encoding in the mapping") from None
    return target


def header_of(path: Path, *, delimiter: str | None, wanted: tuple[str, ...]) -> tuple[list[str], str]:
    """Return the names in the first record, and the delimiter that separates them.

    Without a given delimiter the one is taken that shows most of the wanted columns.

    Raises
    ------
    DataError
        If the first record is not closed, or a name stands there twice.
    """
    text = next(_chunks(path)).decode("utf-8", errors="ignore").removeprefix("\ufeff")
    options = [delimiter] if delimiter else ["\t"] if ".tsv" in path.name else list(_DELIMITERS)
    headers = [(_first_record(path.name, text, option), option) for option in options]
    header, option = max(headers, key=lambda pair: (len(set(pair[0]) & set(wanted)), len(pair[0])))
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(f"{path.name} names column {', '.join(twice)} more than once", hint="rename one in the export")
    return header, option


def _first_record(name: str, text: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])]
    except csv.Error:
        raise DataError(f"the header of {name} cannot be read", hint="check quotes and delimiter") from None


def lines_at(path: Path, positions: list[int]) -> list[int]:
    """Return the physical line, from 1, of each byte position of a text file; positions ascend."""
    lines, seen, at, found = 1, 0, 0, []
    for piece in _chunks(path):
        while at < len(positions) and positions[at] < seen + len(piece):
            found.append(lines + piece.count(b"\n", 0, max(0, positions[at] - seen)))
            at += 1
        lines, seen = lines + piece.count(b"\n"), seen + len(piece)
    return found + [lines] * (len(positions) - at)
