"""What of the list somebody wants to see: filters and search as the address holds them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from data.clock import DAY_US
from data.store.listing import COLUMNS, Wanted
from data.store.records import is_storable
from serving.http.exchange import Refusal
from serving.today.call_list import MOST_LEADS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.store.listing import Choice, Place

__all__ = ["AGES", "Filters", "Spot", "filters_from", "spot_after"]

AGES: Mapping[str, tuple[int, int | None]] = MappingProxyType(
    {"0-7": (0, 7), "8-30": (7, 30), "31-90": (30, 90), "91-": (90, None)}
)
"""Ages in days: from more than the first up to and with the second."""

_LONGEST = 200
_NAMES: Mapping[str, Choice] = MappingProxyType(
    {("owner" if name == "owner_id" else "agreement" if name == "because" else name): name for name in COLUMNS}
)
_AS_ASKED = MappingProxyType({column: name for name, column in _NAMES.items()})


@dataclass(frozen=True)
class Filters:
    """The filters of a list, empty where everything is wanted; `calls` is for how many calls there is time."""

    equal: Mapping[Choice, str]
    age: str = ""
    words: str = ""
    calls: int | None = None

    @property
    def query(self) -> dict[str, str]:
        """The filters as an address holds them, and a saved view too."""
        found = {_AS_ASKED[column]: value for column, value in self.equal.items()}
        found |= {"age": self.age, "q": self.words, "calls": "" if self.calls is None else str(self.calls)}
        return {name: value for name, value in found.items() if value}

    def address(self, path: str = "/", **more: str) -> str:
        """Return the address of the list, or of its export, under these filters."""
        query = urlencode({**self.query, **more})
        return f"{path}?{query}" if query else path

    @property
    def narrows(self) -> bool:
        """Whether anything is left out."""
        return bool(self.equal or self.age or self.words)

    def wanted(self, owners: frozenset[str] | None, now_us: int) -> Wanted:
        """Return the same for the store.

        Parameters
        ----------
        owners
            Whose leads the asker sees; None for everybody's.
        now_us
            The moment from which ages count, microseconds UTC.
        """
        over, upto = AGES.get(self.age, (None, None))
        begun = None if not over else now_us - over * DAY_US
        return Wanted(self.equal, owners, self.words, None if upto is None else now_us - upto * DAY_US, begun)


@dataclass(frozen=True)
class Spot:
    """Where a page begins: how many leads stood before it, and the last of them; as `after` in the address.

    Examples
    --------
    >>> Spot(50, (0.25, "L~1")).text, spot_after("50~0.25~L~1") == Spot(50, (0.25, "L~1"))
    ('50~0.25~L~1', True)
    """

    shown: int = 0
    after: Place | None = None

    @property
    def text(self) -> str:
        """The spot as the address holds it."""
        if self.after is None:
            return str(self.shown) if self.shown else ""
        return f"{self.shown}~{self.after[0]!r}~{self.after[1]}"


def filters_from(query: Mapping[str, str]) -> Filters:
    """Return the filters of an address; parameters that are none of ours are left alone.

    Raises
    ------
    Refusal
        400 if one of ours cannot be.

    Examples
    --------
    >>> filters_from({"grade": "A", "owner": "", "calls": "40"})
    Filters(equal={'grade': 'A'}, age='', words='', calls=40)
    """
    told = {name: query.get(name, "").strip() for name in (*_NAMES, "age", "q", "calls")}
    if any(len(value) > _LONGEST or not is_storable(value) for value in told.values()):
        raise Refusal(400, "invalid_filter", "a filter is too long or holds what cannot be stored")
    calls = told["calls"]
    if told["age"] not in {"", *AGES} or (calls and not _is_number(calls)):
        raise Refusal(400, "invalid_filter", f"age is one of {', '.join(AGES)}, calls a number up to {MOST_LEADS}")
    equal = {column: told[name] for name, column in _NAMES.items() if told[name]}
    return Filters(equal, told["age"], told["q"], int(calls) if calls else None)


def spot_after(text: str) -> Spot:
    """Return where a page begins, by its `after`.

    Raises
    ------
    Refusal
        400 if it is none that was given out.
    """
    if not text:
        return Spot()
    shown, _, rest = text.partition("~")
    place, _, lead_id = rest.partition("~")
    try:
        if shown.isascii() and shown.isdigit() and len(shown) < 10 and is_storable(lead_id):
            if text == shown:
                return Spot(int(shown))
            if lead_id:
                return Spot(int(shown), (float(place), lead_id))
    except ValueError:
        pass
    raise Refusal(400, "invalid_filter", "after: the place where the page before ended was expected")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MOST_LEADS
