"""What the sales team does: scores by its old rules, calls pool A first, moves stages, closes with a delay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.clock import DAY_US, HOUR_US, MINUTE_US
from data.simulator.arrays import Bools, Floats, Ints, draw_codes, exponential_us
from data.simulator.chain import EVALUATING, LOST, WON, Walk
from data.simulator.engagement import EVENT_TYPES, Events
from data.simulator.vocabulary import INDUSTRIES, LEVELS, TARGETS

if TYPE_CHECKING:
    from data.simulator.population import Accounts, People
    from data.simulator.records import Records

__all__ = [
    "OWNERS",
    "POOLS",
    "REASONS",
    "STAGES",
    "Outcomes",
    "Stages",
    "assign_pools",
    "draw_outcomes",
    "draw_stages",
    "rule_points",
]

POOLS = ("C", "B", "A")
STAGES = ("called", "mql", "sql", "opportunity")
REASONS = ("duplicate", "price", "no budget", "no decision", "competitor", "not reachable", "no project")
OWNERS = 12

_DUPLICATE = 0
_NEVER = int(np.iinfo(np.int64).max)
_BROWSING_REASONS, _EVALUATING_REASONS = (0.0, 0.05, 0.2, 0.2, 0.05, 0.3, 0.2), (0.0, 0.3, 0.15, 0.2, 0.3, 0.05, 0.0)
_WHITEPAPER = EVENT_TYPES.index("whitepaper_download")
_VP = [level.name for level in LEVELS].index("vp")


@dataclass(frozen=True)
class Stages:
    """Stage changes: record, stage (code of `STAGES`), when it happened and when it was entered, by whom."""

    record: Ints
    stage: Ints
    at: Ints
    entered: Ints
    actor: Ints


@dataclass(frozen=True)
class Outcomes:
    """Closed records: won or lost, when it happened and when it was entered, amount in USD (NaN if lost), reason."""

    record: Ints
    won: Bools
    at: Ints
    entered: Ints
    amount_usd: Floats
    reason: Ints


def rule_points(people: People, accounts: Accounts, early: Events) -> Ints:
    """Return the points of the team's old rules from what the CRM knows five minutes after creation.

    More than 500 employees +30; two white papers in 30 days +20; vice president or above +25; target industry +15.
    """
    created = people.created[early.who]
    known = (early.received <= created + 5 * MINUTE_US) & (early.at >= created - 30 * DAY_US)
    papers = np.bincount(early.who[known & (early.kind == _WHITEPAPER)], minlength=len(people.created))
    target = np.array([industry.name in TARGETS for industry in INDUSTRIES])
    account, linked = people.account, people.linked
    points: Ints = (
        30 * ((people.employees > 500) & linked & accounts.employees_known[account])
        + 20 * (papers >= 2)
        + 25 * ((people.level <= _VP) & people.title_known)
        + 15 * (target[people.industry] & linked & accounts.industry_known[account])
    ).astype(np.int64)
    return points


def assign_pools(points: Ints) -> Ints:
    """Return the pool of each person: 2 for A (over 80 points), 1 for B (over 40), 0 for C.

    Examples
    --------
    >>> [POOLS[code] for code in assign_pools(np.array([90, 75, 15]))]
    ['A', 'B', 'C']
    """
    return (points > 80).astype(np.int64) + (points > 40)


def draw_stages(rng: np.random.Generator, people: People, walk: Walk, records: Records, pool: Ints) -> Stages:
    """Draw calls and stages from what has happened so far: nothing here looks ahead.

    A deal that was won without its stages gets them at the moment of winning, as sellers do when they close one.
    """
    called = _calls(rng, people, pool)
    reached = _reached(rng, people, walk, pool)
    won, closed = walk.final == WON, walk.closed_at
    # A call at the moment of closing or later is not made; a stage of a won deal may be entered at that moment.
    moment = [np.where(called < closed, called, _NEVER)]
    moment += [np.where(at < closed, at, np.where(won, closed, _NEVER)) for at in reached]
    person = np.concatenate([np.flatnonzero(at < _NEVER) for at in moment])
    at = np.concatenate([at[at < _NEVER] for at in moment])
    stage = np.repeat(np.arange(len(STAGES)), [int((at < _NEVER).sum()) for at in moment])
    entered = at + exponential_us(rng, np.where(stage == 0, 4.0 * MINUTE_US, 6.0 * HOUR_US), len(at))
    return Stages(records.worked(person, at), stage, at, entered, person % OWNERS)


def _reached(rng: np.random.Generator, people: People, walk: Walk, pool: Ints) -> tuple[Ints, Ints, Ints]:
    """Draw when MQL, SQL and opportunity would be reached by the look of things, closed or not.

    Sellers notice three of four buying windows, mistake some browsers for buyers, and open an opportunity only with
    those who are evaluating at that moment.
    """
    count = len(people.created)
    window = _first_window(walk)
    found = np.where(rng.random(count) < 0.75, _later(rng, window, 7.0 * DAY_US), _NEVER)
    mistaken = np.where(rng.random(count) < 0.10, _later(rng, people.created, 25.0 * DAY_US), _NEVER)
    sql = np.minimum(found, mistaken)
    offered = _later(rng, sql, 9.0 * DAY_US)
    ready = (rng.random(count) < 0.85) & (offered < walk.closed_at)
    ready &= walk.states_at(np.where(ready, offered, people.created)) == EVALUATING
    early = _later(rng, people.created, 1.0 * DAY_US)
    mql = np.minimum(np.where(rng.random(count) < 0.3 + 0.3 * (pool > 0), early, _NEVER), sql)
    return mql, sql, np.where(ready, offered, _NEVER)


def _later(rng: np.random.Generator, since: Ints, mean_us: float) -> Ints:
    """Draw moments an exponential wait after others; what never comes has nothing after it."""
    wait = exponential_us(rng, mean_us, len(since))
    return np.where(since < _NEVER, since + np.where(since < _NEVER, wait, 0), _NEVER)


def _calls(rng: np.random.Generator, people: People, pool: Ints) -> Ints:
    """Draw when people are called: everyone in pool A within the hour, in the others when there is time, or never."""
    chance = np.array([0.45, 0.8, 1.0])[pool]
    mean = np.array([5.0 * DAY_US, 1.5 * DAY_US, 12.0 * MINUTE_US])[pool]
    at = people.created + 5 * MINUTE_US + exponential_us(rng, mean, len(pool))
    return np.where(rng.random(len(pool)) < chance, at, _NEVER)


def _first_window(walk: Walk) -> Ints:
    """Return when each person began to evaluate for the first time."""
    first = np.full(len(walk.final), _NEVER)
    evaluating = np.flatnonzero(walk.state == EVALUATING)[::-1]
    first[walk.who[evaluating]] = walk.start[evaluating]
    return first


def draw_outcomes(rng: np.random.Generator, people: People, walk: Walk, records: Records, *, end: int) -> Outcomes:
    """Draw what was entered: the real end on the surviving record, and most others closed as lost, "duplicate"."""
    closed = np.flatnonzero(((walk.final == WON) | (walk.final == LOST)) & (walk.closed_at < end))
    won = walk.final[closed] == WON
    usd = 9000 * (people.employees[closed] / 140) ** 0.45 * rng.lognormal(0.0, 0.7, len(closed))
    late_state = _last_state(walk)[closed]
    cold, warm = draw_codes(rng, _BROWSING_REASONS, len(closed)), draw_codes(rng, _EVALUATING_REASONS, len(closed))
    spare = np.flatnonzero(records.survivor[records.person] != np.arange(len(records.person)))
    spare = spare[rng.random(len(spare)) < 0.65]
    later = np.maximum(records.created[spare], records.created[records.survivor[records.person[spare]]])
    removed = later + exponential_us(rng, 8.0 * DAY_US, len(spare))
    at = np.concatenate([walk.closed_at[closed], removed])
    amount = np.where(won, np.round(usd, -2), np.nan)
    return Outcomes(
        record=np.concatenate([records.worked(closed, walk.closed_at[closed]), spare]),
        won=np.concatenate([won, np.zeros(len(spare), dtype=bool)]),
        at=at,
        entered=at + _entry_delays(rng, len(at)),
        amount_usd=np.concatenate([amount, np.full(len(spare), np.nan)]),
        reason=np.concatenate([np.where(late_state == EVALUATING, warm, cold), np.full(len(spare), _DUPLICATE)]),
    )


def _last_state(walk: Walk) -> Ints:
    last = np.zeros(len(walk.final), dtype=np.int64)
    last[walk.who] = walk.state  # ordered by time, so the last stay remains
    return last


def _entry_delays(rng: np.random.Generator, size: int) -> Ints:
    """Draw how long closings wait to be entered: most within a day, about 95 % within five days."""
    slow = rng.random(size) < 0.16
    return exponential_us(rng, np.where(slow, 4.2 * DAY_US, 7.0 * HOUR_US), size)
