"""The simulator's one function: draw a world, write its export and, apart from it, its truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from data.clock import DAY_US, to_us
from data.errors import InfrastructureError, UsageError
from data.simulator import behaviour, export, handover, spending, truth
from data.simulator import engagement as visits
from data.simulator.chain import LOST, WON, Rates, walk
from data.simulator.population import draw_accounts, draw_people
from data.simulator.records import DUPLICATE_SHARE, draw_records
from data.simulator.sales import POOLS, assign_pools, draw_outcomes, draw_stages, rule_points
from data.simulator.seasons import HORIZON_DAYS, Calendar, month_factors
from data.simulator.vocabulary import SOURCES

if TYPE_CHECKING:
    from data.simulator.arrays import Floats

__all__ = ["SimulationReport", "simulate"]

Progress = Callable[[str, float], None]

_END = datetime(2026, 11, 1, tzinfo=UTC)
# A file without rows is refused at import, and in a small world there may be none of these.
_MAY_BE_EMPTY = frozenset({"export/actions.csv", "export/merges.csv", "export/spend.csv"})
_MAPPING = Path(__file__).with_name("mapping.yaml")


@dataclass(frozen=True)
class SimulationReport:
    """What was written: counts of rows, of people and of how they ended (before `end`), and where it lies."""

    export: Path
    truth: Path
    leads: int
    people: int
    accounts: int
    events: int
    stages: int
    outcomes: int
    won: int
    lost: int
    open: int
    pool_a: int

    @property
    def win_rate(self) -> float:
        """Won people as a share of all lead records."""
        return self.won / self.leads


def simulate(
    *,
    leads: int,
    seed: int,
    out: Path,
    end: datetime = _END,
    months: int = 24,
    engagement: float = 1.0,
    webinar_lift: float = 1.0,
    progress: Progress | None = None,
) -> SimulationReport:
    """Simulate a B2B team's CRM and write `out/export` (what a customer hands over) and `out/truth`.

    Same arguments, same bytes.

    Parameters
    ----------
    leads
        Lead records, duplicates included; about a fifth of them are duplicates.
    seed
        Seed of all draws, not negative.
    out
        Folder to write to; files of an earlier run are replaced.
    end
        When the export is made; needs an offset.
    months
        How many months the CRM has been in use by then, 1 to 120.
    engagement
        Factor on the number of visits.
    webinar_lift
        Factor on the rates of opening a buying window and of winning for whoever took part in a webinar before becoming
        a lead: the one effect of a touch, written down exactly in `truth/channels.parquet`. Everything else that people
        do only shows their state.
    progress
        Called with the name of a step and the share of the work done before it.

    Raises
    ------
    UsageError
        If a number is out of range.
    DataError
        If `end` has no offset.
    InfrastructureError
        If the folder cannot be written.
    """
    _check(leads=leads, seed=seed, months=months, engagement=engagement, webinar_lift=webinar_lift)
    to_us(end)  # refuses a naive time
    tell = progress or (lambda _step, _share: None)
    world, rates, fits, lift = _drawn(Calendar.of(end, months), leads, seed, engagement, webinar_lift, tell)
    tell("export", 0.4)
    tables = _tables(world, rates, fits, lift, np.random.default_rng([seed, 1]))
    tell("write", 0.8)
    _write(out, tables)
    tell("done", 1.0)
    return _report(out, world, tables)


def _check(*, leads: int, seed: int, months: int, engagement: float, webinar_lift: float) -> None:
    for name, value, low, high in (
        ("leads", leads, 20, 10_000_000),
        ("seed", seed, 0, 2**63),
        ("months", months, 1, 120),
        ("engagement", engagement, 0.0, 100.0),
        ("webinar_lift", webinar_lift, 0.1, 20.0),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name} is {value}", hint=f"choose {name} between {low:g} and {high:g}")


def _drawn(
    calendar: Calendar, leads: int, seed: int, factor: float, webinar_lift: float, tell: Progress
) -> tuple[export.World, Rates, Floats, Floats]:
    """Draw everything in the order of cause and effect, each part from its own stream of random numbers."""
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(10)]
    tell("people", 0.0)
    count = leads - round(leads * DUPLICATE_SHARE)
    accounts = draw_accounts(streams[0], calendar, count)
    people = draw_people(streams[1], calendar, accounts, count)
    fits = behaviour.fit(people, accounts)
    state = behaviour.initial_states(streams[2], people, fits)
    early = visits.before_creation(streams[3], people, state, engagement=factor)
    pool = assign_pools(rule_points(people, accounts, early))
    lift = np.where(visits.took_part(early, len(state)), webinar_lift, 1.0)
    rates = Rates(
        own=behaviour.lifted(behaviour.chain_rates(people, fits, pool), lift),
        group=people.market * len(SOURCES) + people.source,
        factors=month_factors(streams[4], calendar),
        bounds=calendar.bounds,
    )
    tell("buying", 0.1)
    beyond = calendar.end + HORIZON_DAYS * DAY_US
    life = walk(streams[5], rates, people.created, state, until=beyond)
    records = draw_records(streams[6], people, life, leads=leads, end=calendar.end)
    tell("events", 0.15)
    spans = visits.spans_of(life, people, end=calendar.end, engagement=factor)
    again = np.flatnonzero(records.duplicate & (streams[7].random(leads) < 0.7))
    forms = visits.sent_forms(records.person[again], records.created[again])
    events = visits.Events.joined(early, forms, visits.visit(streams[7], spans, people))
    stages = draw_stages(streams[8], people, life, records, pool)
    outcomes = draw_outcomes(streams[9], people, life, records, end=calendar.end)
    world = export.World(calendar, accounts, people, life, records, pool, events, stages, outcomes)
    return world, rates, fits, lift


def _tables(
    world: export.World, rates: Rates, fits: Floats, lift: Floats, rng: np.random.Generator
) -> dict[str, pa.Table]:
    """Return every table under its path below the output folder."""
    streams = rng.spawn(3)
    return {
        "export/leads.csv": export.lead_table(rng, world),
        "export/accounts.csv": export.account_table(rng, world),
        "export/events.parquet": export.event_table(rng, world),
        "export/stages.csv": export.stage_table(world),
        "export/outcomes.csv": export.outcome_table(world),
        "export/actions.csv": handover.action_table(streams[0], world),
        "export/merges.csv": handover.merge_table(streams[1], world),
        "export/spend.csv": spending.spend_table(streams[2], world),
        "truth/snapshots.parquet": truth.snapshot_truth(world, rates),
        "truth/leads.parquet": truth.lead_truth(world, rates, fits),
        "truth/channels.parquet": truth.channel_truth(world, rates, lift),
    }


def _write(out: Path, tables: dict[str, pa.Table]) -> None:
    """Write each file beside its place and move it there, so that no half file is ever found."""
    try:
        for name, table in tables.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in _MAY_BE_EMPTY and not table.num_rows:
                path.unlink(missing_ok=True)
                continue
            part = path.with_name(f".{path.name}.part")
            if path.suffix == ".csv":
                pa_csv.write_csv(table, part)
            else:
                pq.write_table(table, part, compression="zstd")
            part.replace(path)
        shutil.copyfile(_MAPPING, out / "export" / "mapping.yaml")
    except OSError as error:
        raise InfrastructureError(
            f"the simulated export could not be written: {error.strerror}", hint="choose another folder for `out`"
        ) from error


def _report(out: Path, world: export.World, tables: dict[str, pa.Table]) -> SimulationReport:
    before = world.walk.closed_at < world.calendar.end
    won, lost = (int((before & (world.walk.final == state)).sum()) for state in (WON, LOST))
    return SimulationReport(
        export=out / "export",
        truth=out / "truth",
        leads=len(world.records.person),
        people=len(before),
        accounts=tables["export/accounts.csv"].num_rows,
        events=tables["export/events.parquet"].num_rows,
        stages=tables["export/stages.csv"].num_rows,
        outcomes=tables["export/outcomes.csv"].num_rows,
        won=won,
        lost=lost,
        open=len(before) - won - lost,
        pool_a=int((world.pool == POOLS.index("A")).sum()),
    )
