"""Quiet windows of a simulated team and the same windows with a fault planted: what is found, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data.clock import DAY_US, from_us, iso, parse_moment, to_us
from data.importing import import_export
from data.mapping import load_mapping
from data.simulator import simulate
from data.warehouse import Warehouse
from features.catalogue import Catalogue
from features.training_set import catalogue_of
from monitoring.drift.fields import of_events
from monitoring.drift.report import judge_material, read_material
from monitoring.drift.windows import REFERENCES, WINDOW_DAYS, Windows, lay_out, read_cohorts
from tests.model.conftest import beside_prior_and_rules, settings_in
from tests.model.faults import FAULTS
from training.run import train

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb

    from monitoring.drift.finding import Finding
    from monitoring.drift.report import Material
    from monitoring.drift.windows import Cohorts
    from tests.model.faults import Fault
    from training.bundles.bundle import Bundle

__all__ = ["Team", "Trial", "judge_windows", "read_team", "simulated_team", "summary", "with_model"]

END = parse_moment("2026-11-01")


@dataclass(frozen=True)
class Team:
    """A simulated team: its warehouse, and the arrivals of all its windows, read once."""

    warehouse: Warehouse
    catalogue: Catalogue
    first_us: int
    quiet: Cohorts

    def connect(self) -> duckdb.DuckDBPyConnection:
        return self.warehouse.connect(threads=1)


@dataclass(frozen=True)
class Trial:
    """A judged window, the fault planted in it if any and how long before its end, and what was found."""

    seed: int
    end: str
    fault: Fault | None
    findings: tuple[Finding, ...]
    days: int = WINDOW_DAYS

    @property
    def named(self) -> bool:
        """Whether the fault was found under its own name."""
        fault = self.fault
        return fault is not None and any((f.kind, f.subject) == (fault.kind, fault.subject) for f in self.findings)

    def as_dict(self) -> dict[str, Any]:
        found = [f"{finding.kind} {finding.subject}: {finding.evidence.en}" for finding in self.findings]
        fault = None if self.fault is None else self.fault.name
        days = None if fault is None else self.days
        return {
            "seed": self.seed,
            "end": self.end,
            "fault": fault,
            "days": days,
            "named": self.named,
            "found": found,
        }


def simulated_team(folder: Path, *, leads: int, months: int, seed: int, events: bool = True) -> Team:
    """Simulate and import a team, and describe all its arrivals in windows that end with the export.

    Without `events` the features made of them are left out but for a few: they take most of the time.
    """
    export = simulate(leads=leads, seed=seed, out=folder / "simulated", end=END, months=months).export
    warehouse = Warehouse(folder / "home" / "warehouse")
    import_export(export, load_mapping(export / "mapping.yaml"), warehouse, now=END)
    return read_team(warehouse, events=events)


def read_team(warehouse: Warehouse, bundle: Bundle | None = None, *, events: bool = True) -> Team:
    """Describe the arrivals of all whole windows of a warehouse; with a bundle in the features that it reads."""
    with warehouse.connect(threads=1) as connection:
        catalogue = (
            catalogue_of(connection, warehouse, cutoff_us=to_us(END), timezone="UTC")
            if bundle is None
            else bundle.catalogue
        )
        if not events:
            few = [f for f in catalogue.features if not of_events(f) or f.name in {"events_30d", "visits_30d"}]
            catalogue = Catalogue(features=tuple(few), timezone=catalogue.timezone)
        first = "SELECT MIN(EPOCH_US(GREATEST(created_at, known_at))) FROM leads"
        ((first_us,),) = connection.execute(first).fetchall()
        windows = lay_out(to_us(END), first_us=first_us, references=1000)
        return Team(warehouse, catalogue, first_us, read_cohorts(connection, catalogue, windows))


def with_model(team: Team, before: int) -> tuple[Team, Bundle]:
    """Train on what was known when a window began, and describe the team's arrivals as that model reads them."""
    home = team.warehouse.path.parent
    learnt = from_us(team.quiet.windows.starts_us[before])
    with beside_prior_and_rules():
        settings = settings_in(home, judge_from=iso(learnt - timedelta(days=190)))
        bundle = train(team.warehouse, settings, as_of=learnt).bundle
    return read_team(team.warehouse, bundle), bundle


def judge_windows(
    team: Team,
    judged: Sequence[int],
    faults: Sequence[Fault | None] = (None, *FAULTS),
    *,
    seed: int = 0,
    bundle: Bundle | None = None,
    days: int = WINDOW_DAYS,
) -> list[Trial]:
    """Judge windows by their number, with each of the faults planted so many days before the window ends."""
    found = []
    for number in judged:
        for fault in faults:
            report = judge_material(_material(team, number, fault, days), bundle=bundle)
            end = iso(from_us(team.quiet.windows.ends_us[number]))
            found.append(Trial(seed, end, fault, report.findings, days))
    return found


def _material(team: Team, number: int, fault: Fault | None, days: int) -> Material:
    """Return what a monitor would have read at the end of a window; only the window itself is read anew."""
    first = max(0, number - REFERENCES)
    windows = Windows(team.quiet.windows.ends_us[first : number + 1])
    with team.connect() as connection:
        if fault is not None:
            fault.plant(connection, windows.ends_us[-1] - days * DAY_US)
        # The arrivals of all windows but the last are as they were; reading them again would only take time.
        last = replace(windows, ends_us=windows.ends_us[-1:])
        read = read_material(connection, team.catalogue, last, first_us=team.first_us, flows_of=windows)
    past = team.quiet.where((team.quiet.window >= first) & (team.quiet.window < number))
    window = np.concatenate([past.window - first, np.full(len(read.cohorts.window), windows.count - 1)])
    table = pa.concat_tables([past.table, read.cohorts.table])
    return replace(read, cohorts=replace(read.cohorts, windows=windows, window=window, table=table))


def summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return detection by fault and by how long it had been there, and false alarms, with Wilson's 95 % intervals."""
    quiet = [trial for trial in trials if trial.fault is None]
    alarms = sum(bool(trial.findings) for trial in quiet)
    named = {fault.name: _found(fault, trials) for fault in FAULTS}
    return {
        "quiet_windows": len(quiet),
        "false_alarms": alarms,
        "false_alarm_interval": _interval(alarms, len(quiet)),
        "faults": named,
        "share_found": sum(one["named"] for one in named.values()) / max(sum(o["planted"] for o in named.values()), 1),
    }


def _found(fault: Fault, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return how often a fault was named after a whole window, and after the first days where these were looked at."""
    planted = [trial for trial in trials if trial.fault is fault]
    told: dict[str, Any] = {"kind": fault.kind}
    for days in sorted({trial.days for trial in planted} | {WINDOW_DAYS}, reverse=True):
        looked = [trial for trial in planted if trial.days == days]
        hits = sum(trial.named for trial in looked)
        found = {"planted": len(looked), "named": hits, "interval": _interval(hits, len(looked))}
        told |= found if days == WINDOW_DAYS else {f"after_{days}_days": found}
    return told


def _interval(hits: int, count: int) -> list[float] | None:
    from training.evaluation.metrics import wilson

    return [round(end, 4) for end in wilson(hits, count)] if count else None
