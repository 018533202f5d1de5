# ruff: noqa: S608 - names of the test itself
from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import duckdb
import openpyxl
import pytest

from data.errors import DataError
from data.mapping import FileSpec
from data.preflight import header_of, lines_at
from data.readers import Staged, stage_file

TEXT = 'id,name,at\n1,"Müller, Hans",2026-01-05 10:00:00\n2,李伟,\n3,"say ""hi""",2026-01-06 10:00:00\n'
CELLS = [
    ("1", "Müller, Hans", "2026-01-05 10:00:00"),
    ("2", "李伟", None),
    ("3", 'say "hi"', "2026-01-06 10:00:00"),
]


def stage(
    folder: Path, path: str, wanted: tuple[str, ...] = ("id", "name", "at"), **spec: str
) -> tuple[Staged, list[tuple[str | None, ...]]]:
    with duckdb.connect() as con:
        staged = stage_file(con, "f", FileSpec(path=path, **spec), folder=folder, scratch=folder, wanted=wanted)
        cells = ", ".join(staged.cell(column) for column in wanted)
        return staged, con.execute(f"SELECT {cells} FROM s_f ORDER BY rowid").fetchall()


def test_text_formats_give_the_same_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXT, encoding="utf-8")
    (tmp_path / "bom.csv").write_text(TEXT, encoding="utf-8-sig")
    (tmp_path / "crlf.csv").write_bytes(TEXT.replace("\n", "\r\n").encode())
    (tmp_path / "mixed.csv").write_bytes(TEXT.replace("\n2", "\r\n2").encode())
    (tmp_path / "noend.csv").write_text(TEXT.rstrip("\n"), encoding="utf-8")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    semi = TEXT.replace(",", ";").replace("Müller;", "Müller,")
    (tmp_path / "semi.csv").write_text(semi, encoding="utf-8")
    (tmp_path / "a.tsv").write_text(TEXT.replace(",", "\t").replace("Müller\t", "Müller,"), encoding="utf-8")
    for path in ("a.csv", "bom.csv", "crlf.csv", "mixed.csv", "noend.csv", "a.csv.gz", "semi.csv", "a.tsv"):
        assert stage(tmp_path, path)[1] == CELLS, path


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16"])
def test_another_encoding_is_read_when_the_mapping_names_it(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert stage(tmp_path, "a.csv", encoding=encoding)[1] == CELLS


def test_a_wrongly_named_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXT, encoding="utf-8")
    with pytest.raises(DataError, match=r"is not in shift_jis"):
        stage(tmp_path, "a.csv", encoding="shift_jis")


def test_parquet_and_excel_give_text_cells(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        con.execute(
            "COPY (SELECT 1 AS id, 'Li' AS name, TIMESTAMP '2026-01-05 10:00:00' AS at) "
            f"TO '{tmp_path / 'a.parquet'}' (FORMAT parquet)"
        )
    assert stage(tmp_path, "a.parquet")[1] == [("1", "Li", "2026-01-05 10:00:00")]
    book = openpyxl.Workbook()
    sheet = book.create_sheet("People")
    sheet.append(["id", "name", "at"])
    sheet.append([1.0, "Li", datetime(2026, 1, 5, 10)])  # noqa: DTZ001 - Excel knows no zones
    sheet.append([None, None, None])
    sheet.append([2, 2.5, None])
    book.save(tmp_path / "a.xlsx")
    assert stage(tmp_path, "a.xlsx", sheet="People")[1] == [("1", "Li", "2026-01-05T10:00:00"), ("2", "2.5", None)]
    with pytest.raises(DataError, match="has no sheet 'Deals'; it has Sheet, People"):
        stage(tmp_path, "a.xlsx", sheet="Deals")


def test_a_glob_is_read_in_name_order_and_aligned_by_header(tmp_path: Path) -> None:
    (tmp_path / "p2.csv").write_text("at,id,name\n,3,c\n")
    (tmp_path / "p1.csv").write_text("id,name,at\n1,a,\n2,b,\n")
    staged, cells = stage(tmp_path, "p*.csv")
    assert cells == [("1", "a", None), ("2", "b", None), ("3", "c", None)]
    assert [(part.file, part.first_row, part.rows) for part in staged.parts] == [("p1.csv", 0, 2), ("p2.csv", 2, 1)]


def test_the_delimiter_is_the_one_that_shows_the_wanted_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;last, first;at\n")
    assert header_of(tmp_path / "a.csv", delimiter=None, wanted=("id", "at"))[1] == ";"


def test_positions_become_physical_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"ab\ncd\nef")
    assert lines_at(tmp_path / "a.csv", [0, 2, 3, 7]) == [1, 1, 2, 3]


def test_blank_cells_and_quoted_blanks_are_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,name,at\n1,,""\n')
    assert stage(tmp_path, "a.csv")[1] == [("1", None, None)]
