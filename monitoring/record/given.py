"""The scores that were actually given: one a lead and month, the one on which the month's list was made."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import DAY_US, parse_moment, to_us
from features.snapshots import month_starts
from training.bundles.bundle import folder_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from data.store.engine import Store

__all__ = ["Given", "HotLead", "read_given"]

# Given within so long after the moment it speaks of, a score was given at that moment.
_PROMPT_US = 2 * DAY_US


@dataclass(frozen=True)
class HotLead:
    """A lead that was first said to be hot at `since_us`, and within how many minutes somebody had to answer it."""

    lead_id: str
    since_us: int
    minutes: float


@dataclass(frozen=True)
class Given:
    """Scores in order of lead and month, as columns of the same length.

    `probability` and `grade` are NaN and empty where the rules answered; `points` are the rules'. `hot` are the leads
    that became hot, `left_out` the scores that were given afterwards by a model which had learnt from later data.
    """

    lead_id: NDArray[np.object_]
    as_of_us: NDArray[np.int64]
    month: NDArray[np.object_]
    probability: NDArray[np.float64]
    grade: NDArray[np.object_]
    source: NDArray[np.object_]
    bundle: NDArray[np.object_]
    points: NDArray[np.float64]
    hot: tuple[HotLead, ...]
    left_out: int

    def __len__(self) -> int:
        """How many scores there are."""
        return len(self.lead_id)


@dataclass(frozen=True)
class _Row:
    lead_id: str
    as_of_us: int
    bundle: str
    source: str
    probability: float | None
    grade: str | None
    points: float
    minutes: float | None
    payload: bool


def read_given(store: Store, *, as_of_us: int, timezone: str, bundles: Path) -> Given:
    """Return what had been said by `as_of`.

    Of a lead's scores in a month the first one counts, as the list of the month is made from it. A score of what a
    request brought along (`payload`) counts only where there is no other: the store may have known better. A score that
    was written down later counts if the bundle that gave it had not learnt from anything after its moment; else it
    would be praised for what it had been told.

    Parameters
    ----------
    store
        The open store, with the history.
    as_of_us
        The moment of knowledge, microseconds UTC.
    timezone
        In which months begin.
    bundles
        Where published bundles lie.
    """
    cutoffs: dict[str, int | None] = {}
    kept, left_out = list[_Row](), 0
    for row, given_us in _rows(store, as_of_us):
        if row.bundle not in cutoffs:
            cutoffs[row.bundle] = _cutoff(bundles, row.bundle)
        if _honest(row, given_us, cutoffs[row.bundle], as_of_us=as_of_us):
            kept.append(row)
        else:
            left_out += 1
    months = month_starts(min((row.as_of_us for row in kept), default=as_of_us) - 31 * DAY_US, as_of_us, timezone)
    first: dict[tuple[str, int], _Row] = {}
    for row in sorted(kept, key=lambda row: (row.payload, row.as_of_us)):
        first.setdefault((row.lead_id, int(np.searchsorted(months, row.as_of_us, side="right"))), row)
    chosen = [(*key, row) for key, row in sorted(first.items(), key=lambda item: item[0])]
    return _columns([(_name(months[number - 1], timezone), row) for _, number, row in chosen], _hot(kept), left_out)


def _rows(store: Store, as_of_us: int) -> Iterator[tuple[_Row, int]]:
    import sqlalchemy as sa

    from data.store.schema import SCORES

    names = ("lead_id", "as_of", "given_at", "bundle", "source", "probability", "grade", "rules", "cause")
    query = sa.select(*(SCORES.c[name] for name in names)).where(SCORES.c.as_of <= as_of_us).order_by(SCORES.c.score_id)
    with store.reading() as connection:
        for told in connection.execution_options(yield_per=5000).execute(query).mappings():
            rules = json.loads(told["rules"])
            row = _Row(
                told["lead_id"],
                told["as_of"],
                told["bundle"],
                told["source"],
                told["probability"],
                told["grade"],
                float(rules.get("points", math.nan)),
                _minutes(rules),
                told["cause"] == "payload",
            )
            yield row, told["given_at"]


def _minutes(rules: Mapping[str, Any]) -> float | None:
    """Return the time limit of a lead, None where it has none or where it was worked by lot."""
    decided = rules.get("handover") or {}
    if decided.get("holdout"):
        return None
    found = decided.get("respond_within_minutes") or rules.get("assign_within_minutes")
    return None if found is None else float(found)


def _cutoff(bundles: Path, digest: str) -> int | None:
    """Return when the data of a bundle ended, None where it is gone."""
    try:
        told = json.loads((bundles / folder_name(digest) / "manifest.json").read_text("utf-8"))
        return to_us(parse_moment(told["cutoff"]))
    except (OSError, ValueError, KeyError):
        return None


def _honest(row: _Row, given_us: int, cutoff_us: int | None, *, as_of_us: int) -> bool:
    if given_us - row.as_of_us <= _PROMPT_US and given_us <= as_of_us:
        return True
    # The rules learn from nothing, so that they say the same whenever they are asked.
    return not row.bundle or (cutoff_us is not None and cutoff_us <= row.as_of_us)


def _hot(rows: Sequence[_Row]) -> tuple[HotLead, ...]:
    """Return the moments at which leads came to have a time limit."""
    limited: dict[str, bool] = {}
    found = []
    for row in sorted(rows, key=lambda row: (row.lead_id, row.as_of_us)):
        if row.minutes is not None and not limited.get(row.lead_id, False):
            found.append(HotLead(row.lead_id, row.as_of_us, row.minutes))
        limited[row.lead_id] = row.minutes is not None
    return tuple(found)


def _name(month_us: int, timezone: str) -> str:
    from zoneinfo import ZoneInfo

    from data.clock import from_us

    return f"{from_us(month_us).astimezone(ZoneInfo(timezone)):%Y-%m}"


def _columns(rows: Sequence[tuple[str, _Row]], hot: tuple[HotLead, ...], left_out: int) -> Given:
    def texts(values: list[str]) -> NDArray[np.object_]:
        return np.array(values, object)

    told = [row for _, row in rows]
    return Given(
        texts([row.lead_id for row in told]),
        np.array([row.as_of_us for row in told], np.int64),
        texts([month for month, _ in rows]),
        np.array([math.nan if row.probability is None else row.probability for row in told], np.float64),
        texts([row.grade or "" for row in told]),
        texts([row.source for row in told]),
        texts([row.bundle for row in told]),
        np.array([row.points for row in told], np.float64),
        hot,
        left_out,
    )
