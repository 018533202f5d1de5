"""What every page that people read is held against: self-contained, no word missing, no text as markup."""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.words import Words

__all__ = ["expect_both_languages", "expect_self_contained", "text_of"]

_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
# The namespace of SVG is a name, nothing that is loaded.
_NAMESPACE = "http://www.w3.org/2000/svg"


def text_of(page: str) -> str:
    """Return what a reader sees, in one line."""
    return re.sub(r"\s+", " ", _TAG.sub(" ", _STYLE.sub(" ", page))).strip()


def expect_self_contained(page: str) -> None:
    """Fail where a page would load something, or shows the name of a text instead of the text."""
    shown = page.replace(_NAMESPACE, "")
    assert not re.search(r"https?://|(?:src|href)=\"(?!data:)|@import|url\(", shown)
    assert "<script" not in page
    assert not re.search(r"[{}]|\bNone\b|\bnan\b|Words\(", text_of(page))


def expect_both_languages(table: Mapping[str, Words], *, alike: frozenset[str] = frozenset()) -> None:
    """Fail where a text lacks a language, or the two do not take the same figures."""
    for name, words in table.items():
        assert words.en, name
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words.zh) or name in alike, name
        assert not any("\u4e00" <= letter <= "\u9fff" for letter in words.en), name
        fields = [{part[1] for part in Formatter().parse(text) if part[1] is not None} for text in (words.en, words.zh)]
        assert fields[0] == fields[1], name
