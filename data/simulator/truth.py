"""The truth beside the export: exact probabilities of the snapshots, and what was never to be seen of the people.

Nothing that trains or imports may read it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data.clock import DAY_US, MINUTE_US
from data.simulator.arrays import Floats, Ints, words
from data.simulator.behaviour import lifted
from data.simulator.chain import EVALUATING, RATES, STATES, WON, Rates
from data.simulator.engagement import CHANNELS
from data.simulator.export import World, account_ids, lead_ids
from data.simulator.sales import POOLS
from data.simulator.seasons import HORIZON_DAYS
from data.simulator.vocabulary import INDUSTRIES, LEVELS, MARKETS

__all__ = ["FIRST_LOOK_US", "channel_truth", "lead_truth", "snapshot_truth"]

FIRST_LOOK_US = 5 * MINUTE_US


def snapshot_truth(world: World, rates: Rates) -> pa.Table:
    """Return every open person's exact win probability on the first day of each month and 5 minutes after creation.

    `probability_90d` is P(won in (as_of, as_of + 90 d] | state, latents); `won_90d` is what happened, also where that
    lies beyond the export. A person already closed at `as_of` is left out.
    """
    who, state, at, kind = _looks(world)
    horizon = HORIZON_DAYS * DAY_US
    probability = rates.win_probability(who, state, at, horizon_us=horizon)
    closed = world.walk.closed_at[who]
    won = (world.walk.final[who] == WON) & (closed > at) & (closed <= at + horizon)
    return pa.table(
        {
            "lead_id": pa.array(lead_ids(world.records)[world.records.primary[who]], pa.string()),
            "as_of": pa.array(at, pa.timestamp("us", tz="UTC")),
            "kind": pa.array(words(["monthly", "t0"])[kind], pa.string()),
            "state": pa.array(words(STATES)[state], pa.string()),
            "probability_90d": probability,
            "won_90d": won,
        }
    )


def _looks(world: World) -> tuple[Ints, Ints, Ints, Ints]:
    """Return person, state, moment and kind (0 monthly, 1 first look) of every snapshot."""
    parts = []
    for first in world.calendar.firsts.tolist():
        who, state = world.walk.open_at(first)
        parts.append((who, state, np.full(len(who), first), np.zeros(len(who), dtype=np.int64)))
    look = world.people.created + FIRST_LOOK_US
    state = world.walk.states_at(look)
    early = np.flatnonzero((state <= EVALUATING) & (look <= world.calendar.end))
    parts.append((early, state[early], look[early], np.ones(len(early), dtype=np.int64)))
    who, state, at, kind = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((world.records.primary[who], at))
    return who[order], state[order], at[order], kind[order]


def lead_truth(world: World, rates: Rates, fits: Floats) -> pa.Table:
    """Return, for every lead record, the person behind it, the hidden traits, own rates a day and how it ended."""
    people, records, walk = world.people, world.records, world.walk
    who = records.person
    ids = lead_ids(records)
    return pa.table(
        {
            "lead_id": pa.array(ids, pa.string()),
            "person": pa.array(who),
            "primary_lead_id": pa.array(ids[records.primary[who]], pa.string()),
            "surviving_lead_id": pa.array(ids[records.survivor[who]], pa.string()),
            "is_duplicate": pa.array(records.duplicate),
            "account_id": pa.array(account_ids(world.accounts)[people.account[who]], pa.string()),
            "market": pa.array(words(MARKETS)[people.market[who]], pa.string()),
            "industry": pa.array(words([kind.name for kind in INDUSTRIES])[people.industry[who]], pa.string()),
            "seniority": pa.array(words([level.name for level in LEVELS])[people.level[who]], pa.string()),
            "employees": people.employees[who],
            "quality": people.quality[who],
            "warmth": world.accounts.warmth[people.account[who]],
            "loudness": people.loudness[who],
            "fit": fits[who],
            "pool": pa.array(words(POOLS)[world.pool[who]], pa.string()),
            **{f"rate_{name}": rates.own[who, number] for number, name in enumerate(RATES)},
            "final_state": pa.array(words(STATES)[walk.final[who]], pa.string()),
            "closed_at": pa.array(
                walk.closed_at[who], pa.timestamp("us", tz="UTC"), mask=walk.final[who] <= EVALUATING
            ),
        }
    )


def channel_truth(world: World, rates: Rates, lift: Floats) -> pa.Table:
    """Return, for each channel of the events, how many people it touched early and the wins that it caused, exactly.

    `wins_caused` is the sum over people of P(won before the export) with the channel's effect less the same without:
    what would not have happened. Only webinars cause any (`webinar_lift`); mail and pages are read by those who buy.
    """
    start = world.people.created
    who, state = np.arange(len(start)), world.walk.states_at(start)
    without = Rates(lifted(rates.own, 1 / lift), rates.group, rates.factors, rates.bounds)
    span = world.calendar.end - start
    caused = rates.win_probability(who, state, start, horizon_us=span)
    caused = caused - without.win_probability(who, state, start, horizon_us=span)
    early = world.events.at < world.people.created[world.events.who]
    touched = [len(np.unique(world.events.who[early & (world.events.channel == c)])) for c in range(len(CHANNELS))]
    wins = [float(caused.sum()) if name == "webinar" else 0.0 for name in CHANNELS]
    return pa.table({"channel": pa.array(CHANNELS, pa.string()), "people": touched, "wins_caused": wins})
