"""Everything that columns are judged on: labelled rows, today's open leads, earlier lists, and what became of leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.leaks.lists import Lists, make_lists
from training.learning.splits import account_folds

if TYPE_CHECKING:
    import pandas as pd

    from training.leaks.facts import EventTiming, Moves
    from training.learning.recipe import Rows

__all__ = ["Context", "Material", "make_material"]

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_FOLDS = 4
_BLOCKS = 3
_FEWEST_WINS = 50  # on either side of a split forward in time
_WINS_A_MOMENT = 15
_MOST_MOMENTS = 24
_FEWEST_LOST = 20


@dataclass(frozen=True)
class Context:
    """What only the warehouse knows, read at the end of the data.

    Attributes
    ----------
    states
        `lead_id`, `t0_us`, `created_us`, `cluster`, `state` (won, lost, open), `closed_us`: from
        `training.leaks.facts.lead_states`.
    closed_rows
        Leads that came and closed lately, with their values of today.
    past
        Earlier lists for plans that photograph no monthly ones; `y_obs` says who has won since.
    timings
        When events of each type come beside the closing.
    moves
        How often columns change at the closing.
    """

    states: pd.DataFrame
    closed_rows: Rows | None = None
    past: Rows | None = None
    timings: Mapping[str, EventTiming] = field(default_factory=dict)
    moves: Mapping[str, Moves] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """Labelled rows first, then today's open leads, leads closed lately and earlier lists, pooled in one frame."""

    rows: Rows
    frame: pd.DataFrame
    today: slice
    lists: Lists | None
    states: pd.DataFrame | None = None
    timings: Mapping[str, EventTiming] = field(default_factory=dict)
    moves: Mapping[str, Moves] = field(default_factory=dict)

    @cached_property
    def judged(self) -> Ints:
        """Row numbers of the monthly cross-sections, or all rows of plans that have none."""
        monthly = self.rows.spine["monthly"].to_numpy() == 1
        return np.flatnonzero(monthly) if monthly.any() else np.arange(len(monthly))

    @cached_property
    def clusters(self) -> Ints:
        """(rows,) numbers of the accounts."""
        return np.asarray(np.unique(self.rows.clusters.astype(str), return_inverse=True)[1])

    @cached_property
    def folds(self) -> Ints:
        """(rows,) folds of whole accounts."""
        return account_folds(self.rows.clusters, _FOLDS)

    @cached_property
    def moments(self) -> Ints:
        """(judged,) which rows are compared with one another: those of one list, or of about the same time."""
        spine = self.rows.spine.iloc[self.judged]
        as_of = spine["as_of_us"].to_numpy()
        if (spine["monthly"].to_numpy() == 1).any():
            return np.asarray(np.unique(as_of, return_inverse=True)[1])
        starts = [int(as_of[judged].min()) for _, judged in self.forward]
        return _blocks(as_of, int(spine["y_obs"].sum()), starts)

    @cached_property
    def forward(self) -> tuple[tuple[Mask, Mask], ...]:
        """(learnt, judged) masks over the judged rows, forward in time; none where there are too few wins."""
        spine = self.rows.spine.iloc[self.judged]
        as_of, mature = spine["as_of_us"].to_numpy(), spine["mature_us"].to_numpy()
        y_obs = spine["y_obs"].to_numpy(np.int64)
        won_at = np.sort(as_of[y_obs == 1])
        if len(won_at) < 2 * _FEWEST_WINS:
            return ()
        edges = sorted({int(won_at[int(len(won_at) * (0.5 + 0.5 * k / _BLOCKS))]) for k in range(_BLOCKS)})
        found = []
        for start, end in zip(edges, [*edges[1:], int(as_of.max()) + 1], strict=True):
            learnt, judged = mature <= start, (as_of >= start) & (as_of < end)
            if min(y_obs[learnt].sum(), (y_obs[learnt] == 0).sum()) >= _FEWEST_WINS:
                found.append((learnt, judged))
        total = sum(int(y_obs[judged].sum()) for _, judged in found)
        return tuple(found) if total >= _FEWEST_WINS else ()

    @cached_property
    def leads(self) -> pd.DataFrame:
        """One row a lead: numbers of its first and last row, its state by the end of the data, its dates."""
        import pandas as pd

        spine = self.rows.spine
        order = np.lexsort((spine["as_of_us"].to_numpy(), spine["lead_id"].to_numpy(str)))
        ids = spine["lead_id"].to_numpy(str)[order]
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
        first, last = order[starts], order[np.r_[starts[1:], len(ids)] - 1]
        won = np.maximum.reduceat(self.rows.y_obs[order], starts)
        created = spine["created_us"].to_numpy(np.int64)[first]
        state, closed_us = np.where(won == 1, "won", "lost"), np.full(len(first), np.nan)
        if self.states is not None:
            known = self.states.set_index("lead_id").reindex(ids[starts])
            told = known["state"].notna().to_numpy()
            state = np.where(told, known["state"].to_numpy(object), state).astype(str)
            closed_us = known["closed_us"].to_numpy(np.float64, na_value=np.nan)
        return pd.DataFrame(
            {"first": first, "last": last, "state": state, "created_us": created, "closed_us": closed_us}
        )

    @cached_property
    def sample(self) -> Ints:
        """Row numbers of the pooled frame, one a lead: a lead that was long open has many rows."""
        return np.concatenate([self.leads["first"].to_numpy(), np.arange(self.today.start, self.today.stop)])

    @cached_property
    def closed(self) -> pd.DataFrame:
        """The leads that have closed, the first one of each account; where losses are not recorded, all matured."""
        leads = self.leads
        if (leads["state"] == "lost").sum() >= _FEWEST_LOST or (leads["state"] == "won").all():
            leads = leads[leads["state"] != "open"]
        owner = self.clusters[leads["first"].to_numpy()]
        return leads.iloc[np.sort(np.unique(owner, return_index=True)[1])]

    @cached_property
    def closed_won(self) -> Ints:
        """(closed,) 1 for a win."""
        return np.asarray(self.closed["state"].to_numpy(str) == "won", np.int64)

    @cached_property
    def closed_moments(self) -> Ints:
        """(closed,) which leads are compared with one another: those created at about the same time."""
        return _blocks(self.closed["created_us"].to_numpy(np.int64), int(self.closed_won.sum()))


def make_material(rows: Rows, open_rows: Rows | None, context: Context | None = None) -> Material:
    """Pool the rows and lay the lists side by side.

    Parameters
    ----------
    rows
        All matured pairs.
    open_rows
        The leads open at the end of the data, or at the cutoff.
    context
        What the warehouse knows beyond; without it nothing is said of closing dates, and today's ages are unknown
        unless the spine of `open_rows` holds `t0_us` and `cluster`.
    """
    import pandas as pd

    closed_rows, past = (context.closed_rows, context.past) if context else (None, None)
    parts = [one for one in (rows, open_rows, closed_rows, past) if one is not None]
    starts = np.cumsum([0, *(len(one.spine) for one in parts)])
    spines = {
        id(one): _dated(one.spine, context).assign(row=np.arange(start, start + len(one.spine)))
        for one, start in zip(parts, starts, strict=False)
    }
    before = spines[id(rows)]
    before = before[before["monthly"] == 1]
    if not len(before) and past is not None:
        before = spines[id(past)]
    lists = None
    if open_rows is not None and len(open_rows.spine) and len(before) and "t0_us" in spines[id(open_rows)]:
        now = spines[id(open_rows)]
        lists = make_lists(
            before,
            now,
            spines[id(closed_rows)] if closed_rows is not None else None,
            overwritten=_overwritten(now, context),
        )
    count = len(open_rows.spine) if open_rows is not None else 0
    return Material(
        rows=rows,
        frame=pd.concat([one.frame for one in parts], ignore_index=True),
        today=slice(len(rows.spine), len(rows.spine) + count),
        lists=lists,
        states=context.states if context else None,
        timings=context.timings if context else {},
        moves=context.moves if context else {},
    )


def _blocks(times: Ints, wins: int, edges: Sequence[int] = ()) -> Ints:
    """Cut rows into blocks of time, each with wins enough to compare, and never across the given edges."""
    count = int(np.clip(wins // _WINS_A_MOMENT, 1, _MOST_MOMENTS))
    inner = np.quantile(times, np.arange(1, count) / count) if len(times) else np.empty(0)
    return np.asarray(np.searchsorted(np.unique(np.concatenate([inner, edges])), times, side="right"))


def _dated(spine: pd.DataFrame, context: Context | None) -> pd.DataFrame:
    """Return a spine with t0 and account, from the states where it has none; a lead without one begins at `as_of`."""
    if {"t0_us", "cluster"} <= set(spine.columns) or context is None:
        return spine
    known = context.states.set_index("lead_id")[["t0_us", "cluster"]].reindex(spine["lead_id"])
    t0 = known["t0_us"].to_numpy(np.float64, na_value=np.nan)
    cluster = known["cluster"].to_numpy(object)
    return spine.assign(
        t0_us=np.where(np.isnan(t0), spine["as_of_us"].to_numpy(), t0).astype(np.int64),
        cluster=np.where(np.isnan(t0), "lead:" + spine["lead_id"].astype(str), cluster),
    )


def _overwritten(today: pd.DataFrame, context: Context | None) -> float:
    if context is None:
        return 0.0
    closed = context.states.loc[context.states["state"] != "open", "lead_id"]
    return float(today["lead_id"].isin(closed).mean())
