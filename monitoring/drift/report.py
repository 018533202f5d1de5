"""All checks of the data together, in the order in which one explains the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import from_us, iso
from data.errors import DataError
from features.sql import only_row
from features.words import Words
from monitoring.drift.event_types import find_log_faults
from monitoring.drift.fields import measure_fields
from monitoring.drift.finding import BROKEN_DATA, Finding
from monitoring.drift.level import YEAR, YEARS_READ, find_moved_level, read_level
from monitoring.drift.scores import known_levels, measure_scores
from monitoring.drift.volumes import find_stopped_sources, read_flows, read_types, surprise
from monitoring.drift.windows import WINDOW_DAYS, lay_out, read_cohorts

if TYPE_CHECKING:
    import duckdb

    from features.definitions import Catalogue
    from monitoring.drift.fields import FieldShift
    from monitoring.drift.level import Level
    from monitoring.drift.scores import ScoreShift
    from monitoring.drift.volumes import Flow
    from monitoring.drift.windows import Cohorts, Windows
    from training.bundles.bundle import Bundle

__all__ = ["ALARMS", "DriftReport", "Material", "judge_material", "measure_drift", "read_material"]

# How the 5 % of quiet periods that may raise an alarm are shared out; the record has the rest (0.01).
ALARMS = {
    "stopped": 0.0025,
    "logs": 0.00125,
    "types": 0.00125,
    "volume": 0.005,
    "level": 0.015,
    "fields": 0.01,
    "scores": 0.005,
}
_FAMILY = 0.05  # what the limits of the stability index start from


@dataclass(frozen=True)
class DriftReport:
    """What was measured of the judged window and its year, and what is not as it was.

    `arrivals` go by window, `level` by as many as there are, the judged one last; `types` are the flows of single types
    of events; without a served model `scores` is None.
    """

    windows: Windows
    arrivals: tuple[int, ...]
    level: Level
    flows: tuple[Flow, ...]
    fields: tuple[FieldShift, ...]
    scores: ScoreShift | None
    findings: tuple[Finding, ...]
    types: tuple[Flow, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        wins, exposed = self.level
        return {
            "window_days": WINDOW_DAYS,
            "window_ends": [iso(from_us(end)) for end in self.windows.ends_us],
            "arrivals": list(self.arrivals),
            "wins": list(wins),
            "open_at_start": list(exposed),
            "flows": [flow.as_dict() for flow in self.flows],
            "types": [flow.as_dict() for flow in self.types],
            "fields": [field.as_dict() for field in self.fields],
            "scores": None if self.scores is None else self.scores.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True)
class Material:
    """What is read of a warehouse to be judged: the arrivals, what each source brought, and the wins."""

    cohorts: Cohorts
    flows: tuple[Flow, ...]
    types: tuple[Flow, ...]
    level: Level


def measure_drift(
    connection: duckdb.DuckDBPyConnection,
    catalogue: Catalogue,
    as_of_us: int,
    *,
    bundle: Bundle | None = None,
    learnt_until_us: int | None = None,
) -> DriftReport:
    """Hold the arrivals of the 28 days before a moment against those of a year and name what is not as it was.

    Parameters
    ----------
    connection
        With the warehouse's views.
    catalogue
        The features to compare; with a bundle its own.
    as_of_us
        The moment, microseconds UTC.
    bundle
        The served model.
    learnt_until_us
        When its data ended: later windows are no reference.

    Raises
    ------
    DataError
        If there are fewer than four windows to be held against.
    """
    first_us = _first(connection)
    windows = lay_out(as_of_us, first_us=first_us, learnt_until_us=learnt_until_us)
    return judge_material(read_material(connection, catalogue, windows, first_us=first_us), bundle=bundle)


def read_material(
    connection: duckdb.DuckDBPyConnection,
    catalogue: Catalogue,
    windows: Windows,
    *,
    first_us: int,
    flows_of: Windows | None = None,
) -> Material:
    """Read the arrivals and flows of the windows, and the wins of as many years as there are, from `first_us` on.

    Flows may be read of more windows than arrivals, where those are known already: arrivals take most of the time.
    """
    # Wins have a course over the year that only several years tell from a change; they need no model as reference.
    longer = lay_out(windows.ends_us[-1], first_us=first_us, references=YEARS_READ * YEAR)
    return Material(
        read_cohorts(connection, catalogue, windows),
        read_flows(connection, flows_of or windows),
        read_types(connection, flows_of or windows),
        read_level(connection, longer),
    )


def judge_material(material: Material, *, bundle: Bundle | None = None) -> DriftReport:
    """Name what is not as it was.

    A cause is told instead of what follows from it: leads of a source that has stopped are left out of the reference,
    features of a broken log or of a type of event that has stopped are not compared, and scores and reasons are not
    reported beside broken data.
    """
    cohorts, flows = material.cohorts, material.flows
    arrivals = cohorts.sizes
    logs = find_log_faults(flows, material.types, arrivals, alpha=ALARMS["logs"], alpha_types=ALARMS["types"])
    compared = partial(
        measure_fields,
        family=_family("fields"),
        levels=known_levels(bundle),
        without_events=bool(logs.broken),
        without_types=logs.gone,
    )
    fields, moved = compared(cohorts)
    stopped = _stopped(flows, moved)
    if stopped:
        gone = {finding.subject.partition(": ")[2] for finding in stopped}
        rest = cohorts.where(~np.isin(_sources(cohorts), sorted(gone)))
        _, moved = compared(rest)
    causes = [*stopped, *logs.findings, *moved]
    scores, follows = (None, []) if bundle is None else measure_scores(bundle, cohorts, family=_family("scores"))
    broken = any(finding.kind in BROKEN_DATA for finding in causes)
    others = [find_moved_level(material.level, alpha=ALARMS["level"]), None if stopped else _volume(arrivals)]
    findings = (*causes, *(one for one in others if one), *(() if broken else follows))
    return DriftReport(
        cohorts.windows, tuple(arrivals.tolist()), material.level, flows, fields, scores, findings, material.types
    )


def _first(connection: duckdb.DuckDBPyConnection) -> int:
    """Return since when there are leads.

    Raises
    ------
    DataError
        If there are none.
    """
    query = "SELECT MIN(EPOCH_US(GREATEST(created_at, known_at))) FROM leads"
    (first_us,) = only_row(connection, query)
    if first_us is None:
        raise DataError("there are no leads to watch over", hint="import some first")
    return int(first_us)


def _family(group: str) -> int:
    return round(_FAMILY / ALARMS[group])


def _sources(cohorts: Cohorts) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    if "source" not in cohorts.table.column_names:
        return np.full(len(cohorts.window), "")
    return np.array([value or "" for value in cohorts.table["source"].to_pylist()])


def _stopped(flows: tuple[Flow, ...], moved: tuple[Finding, ...]) -> list[Finding]:
    """Return the sources that have stopped; where their names have changed or gone, that says it already."""
    if any(one.subject == "leads.source" and one.kind in {"category_renamed", "field_emptied"} for one in moved):
        return []
    return find_stopped_sources(flows, alpha=ALARMS["stopped"])


def _volume(arrivals: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Finding | None:
    """Return the finding that twice or half as many leads came as in other windows."""
    seen = surprise(arrivals.tolist(), [1.0] * len(arrivals))
    if seen is None or seen.p > ALARMS["volume"] / 2 or 0.5 < (seen.count + 0.5) / seen.expected < 2:
        return None
    words = Words(
        en=f"{seen.count:,.0f} leads arrived in 28 days, {seen.expected:,.0f} are usual",
        zh=f"28 天内新增 {seen.count:,.0f} 条线索，通常约 {seen.expected:,.0f} 条",
    )
    figures = {"count": seen.count, "expected": seen.expected, "p": seen.p}
    return Finding("volume_moved", "leads", "watch", words, figures)
