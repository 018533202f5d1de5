"""What a card says, whatever the platform: a title, a few figures with a light, the two most important alerts.

A card leaves the house, so it holds counts, shares, clew's own words and ids of leads, and nothing that a person typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from data.derive import email_domain_kind
from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from features.words import Language

__all__ = ["LIGHTS", "MOST_ALERTS", "OPEN_PAGE", "Card", "Figure", "Light", "Move", "shown_id", "worst_light"]

Light = Literal["green", "amber", "red", "none"]
Move = Literal["up", "down", "level"]
MOST_ALERTS = 2

# A sign beside each word, for readers who do not tell colours apart.
LIGHTS: Mapping[Light, Words] = MappingProxyType(
    {
        "green": Words(en="good", zh="正常"),
        "amber": Words(en="uncertain", zh="待定"),
        "red": Words(en="off", zh="异常"),
        "none": Words(en="for information", zh="仅供参考"),
    }
)
OPEN_PAGE = Words(en="Open the report", zh="打开报告")
_SIGNS: Mapping[Light, str] = MappingProxyType({"green": "🟢", "amber": "🟡", "red": "🔴", "none": "⚪"})
_ARROWS: Mapping[Move, str] = MappingProxyType({"up": "▲", "down": "▼", "level": ""})
_ORDER: tuple[Light, ...] = ("red", "amber", "green", "none")
_LONGEST_ID = 40


@dataclass(frozen=True)
class Figure:
    """One figure in words: what it is, its value, what it was before or is held against.

    `move` says how it changed beyond chance; None where that is not known.
    """

    label: str
    value: str
    note: str = ""
    light: Light = "none"
    move: Move | None = None

    @property
    def sign(self) -> str:
        """The light as a sign of text."""
        return _SIGNS[self.light]

    @property
    def arrow(self) -> str:
        """The move as a sign of text, empty where there is none beyond chance."""
        return "" if self.move is None else _ARROWS[self.move]


@dataclass(frozen=True)
class Card:
    """A report in short. `report` is its key: a report goes once to each target.

    Raises
    ------
    ValueError
        If it holds more than two alerts: who sends ten sends none.
    """

    report: str
    title: str
    under: str
    figures: tuple[Figure, ...]
    alerts: tuple[str, ...] = ()
    link: str | None = None
    language: Language = "en"

    def __post_init__(self) -> None:
        if len(self.alerts) > MOST_ALERTS:
            raise ValueError(f"a card holds {MOST_ALERTS} alerts at most")

    @property
    def light(self) -> Light:
        """The worst light of its figures."""
        return worst_light(figure.light for figure in self.figures)


def worst_light(lights: Iterable[Light]) -> Light:
    """Return the light that somebody has to look at first.

    Examples
    --------
    >>> worst_light(["green", "none", "amber"]), worst_light([])
    ('amber', 'none')
    """
    return min(lights, key=_ORDER.index, default="none")


def shown_id(lead_id: str) -> str:
    """Return an id as it may be shown: some systems take an e-mail address for one, which is nobody's business.

    Examples
    --------
    >>> shown_id("L-17"), shown_id("li@acme.example"), len(shown_id("x" * 99))
    ('L-17', '…@…', 40)
    """
    if email_domain_kind(lead_id) not in {None, "invalid"}:
        return "…@…"
    plain = "".join(sign if sign.isprintable() else "?" for sign in lead_id)
    return plain if len(plain) <= _LONGEST_ID else f"{plain[: _LONGEST_ID - 1]}…"
