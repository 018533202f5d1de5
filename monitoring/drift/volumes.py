"""How much came in from each source in each window, and whether that is what other windows would lead one to expect."""
# ruff: noqa: S608 - names of the contract and numbers are put into the SQL

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.clock import DAY_US, from_us, iso
from features.words import Words
from monitoring.drift.finding import Finding
from monitoring.drift.windows import lend_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from numpy.typing import NDArray

    from monitoring.drift.windows import Windows

__all__ = [
    "Flow",
    "Surprise",
    "find_broken_logs",
    "find_stopped_sources",
    "has_ended",
    "is_silent",
    "read_flows",
    "read_types",
    "surprise",
]

STOPPED = 0.2  # of what was expected
_LOST = 0.5  # people do not halve what they do from one month to the next: half a log is a broken log
_SILENT_DAYS, _SILENCES = 3.0, 3.0  # a silence so long, and so many times the longest of the year
_LEAST_EXPECTED = 5.0
_FLOWS = (
    ("leads", "source", "GREATEST(created_at, known_at)"),
    ("events", "source", "known_at"),
    ("actions", "type", "known_at"),
    ("outcomes", "outcome", "known_at"),
)


@dataclass(frozen=True)
class Flow:
    """What one source brought: rows in each window, the newest row by the end, and the longest silence before.

    `newest_us` is None where it never brought any; silences are in days, between rows of the reference windows. `type`
    is that of its events where the flow is of one type only.
    """

    table: str
    source: str
    counts: tuple[int, ...]
    newest_us: int | None
    silent_days: float
    longest_silence_days: float
    type: str | None = None

    @property
    def subject(self) -> str:
        """What the flow is called in a finding."""
        return f"{self.table}: {self.source}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        newest = None if self.newest_us is None else iso(from_us(self.newest_us))
        told = {"table": self.table, "source": self.source, "counts": list(self.counts), "newest": newest}
        silences = {"silent_days": self.silent_days, "longest_silence_days": self.longest_silence_days}
        return {**told, **silences, **({} if self.type is None else {"type": self.type})}


@dataclass(frozen=True)
class Surprise:
    """A count beside the expected one, and the probability of one as far off to that side in a quiet window."""

    count: float
    expected: float
    p: float


def read_flows(connection: duckdb.DuckDBPyConnection, windows: Windows) -> tuple[Flow, ...]:
    """Return what each source of leads, events, actions and outcomes brought in each window, by what is known now.

    Parameters
    ----------
    connection
        With the warehouse's views.
    windows
        Which; rows that became known after the last one do not count.
    """
    lend_windows(connection, windows)
    return tuple(flow for told in _FLOWS for flow in _flows(connection, windows, *told))


def read_types(connection: duckdb.DuckDBPyConnection, windows: Windows) -> tuple[Flow, ...]:
    """Return the events that each source brought in each window, type by type, by what is known now.

    Parameters
    ----------
    connection
        With the warehouse's views.
    windows
        Which; rows that became known after the last one do not count.
    """
    lend_windows(connection, windows)
    return tuple(_flows(connection, windows, "events", "source", "known_at", kind="type"))


def _flows(
    connection: duckdb.DuckDBPyConnection, windows: Windows, table: str, column: str, moment: str, kind: str = "NULL"
) -> list[Flow]:
    # Each row once: of a history the first version tells when it came.
    rows = (
        f"SELECT MIN_BY({column}, {moment}) AS name, NULL AS kind, MIN(EPOCH_US({moment})) AS us "
        "FROM leads GROUP BY lead_id"
        if table == "leads"
        else f"SELECT {column} AS name, {kind} AS kind, EPOCH_US({moment}) AS us FROM {table}"
    )
    end = windows.ends_us[-1]
    found = connection.execute(
        f"""
        WITH told AS (SELECT COALESCE(name, '') AS name, kind, us FROM ({rows}) AS r
                      WHERE us < {end} AND us >= {windows.starts_us[0]}),
             gaps AS (SELECT name, kind, us, us - LAG(us) OVER (PARTITION BY name, kind ORDER BY us) AS gap FROM told)
        SELECT name, kind, MAX(us), MAX(CASE WHEN us < {windows.ends_us[-2]} THEN gap END),
               LIST(number ORDER BY number) FILTER (number IS NOT NULL), LIST(rows ORDER BY number)
                   FILTER (number IS NOT NULL)
        FROM (SELECT g.name, g.kind, w.number, COUNT(*) AS rows, MAX(g.us) AS us, MAX(g.gap) AS gap
              FROM gaps AS g LEFT JOIN monitored AS w ON g.us >= w.start_us AND g.us < w.end_us GROUP BY ALL) AS c
        GROUP BY name, kind ORDER BY name, kind
        """
    ).fetchall()
    flows = []
    for name, kind_of, newest, gap, numbers, rows_of in found:
        counts = np.zeros(windows.count, np.int64)
        counts[numbers or []] = rows_of or []
        silent = (end - newest) / DAY_US
        flows.append(Flow(table, name, tuple(counts.tolist()), newest, silent, (gap or 0) / DAY_US, kind_of))
    return flows


def surprise(counts: Sequence[float], exposure: Sequence[float]) -> Surprise | None:
    """Return how unlikely the last count is, given what the others were of their exposures.

    The log of `(count + 1/2) / exposure` is taken to scatter about its mean like Student's t, with the spread of the
    windows themselves and at least that of counts (1 / expected) and of 5 %.

    Returns
    -------
    Surprise or None
        None where windows without exposure leave nothing to compare.

    Examples
    --------
    >>> quiet = surprise([100, 110, 90, 105, 95, 102], [1] * 6)
    >>> stopped = surprise([100, 110, 90, 105, 95, 0], [1] * 6)
    >>> quiet.p > 0.3, stopped.p < 0.001, round(stopped.expected)
    (True, True, 100)
    """
    from scipy.stats import t

    count, base = np.asarray(counts, np.float64), np.asarray(exposure, np.float64)
    kept = base[:-1] > 0
    if kept.sum() < 3 or base[-1] <= 0:
        return None
    logs = np.log((count[:-1][kept] + 0.5) / base[:-1][kept])
    expected = float(np.exp(logs.mean()) * base[-1])
    usual = max(float(logs.var(ddof=1)), 1 / max(expected, 0.5) + 0.05**2)
    spread = (usual * (1 + 1 / len(logs))) ** 0.5
    distance = abs(float(np.log(count[-1] + 0.5) - np.log(expected))) / spread
    return Surprise(float(count[-1]), expected, float(t.sf(distance, len(logs) - 1)))


def find_stopped_sources(flows: Sequence[Flow], *, alpha: float) -> list[Finding]:
    """Return the sources of leads that have stopped, each measured beside all others, which share its seasons.

    Parameters
    ----------
    flows
        All flows of `read_flows`.
    alpha
        The probability of any finding in a quiet window, shared among the sources.
    """
    leads = [flow for flow in flows if flow.table == "leads" and flow.source]
    total = np.sum([flow.counts for flow in leads], axis=0) if leads else np.zeros(1)
    found = []
    for flow in leads:
        others = total - np.asarray(flow.counts)
        seen = surprise(flow.counts, others)
        if seen is not None and has_ended(flow, seen, alpha / len(leads), share=STOPPED):
            found.append(_stopped(f"leads.source: {flow.source}", flow, seen))
    return found


def has_ended(flow: Flow, seen: Surprise, alpha: float, *, share: float = STOPPED) -> bool:
    """Tell whether a flow has ended: too little of it came, or nothing for longer than it was ever silent.

    The silence shows within days what the count of a whole window shows in the end.

    Parameters
    ----------
    flow
        What came.
    seen
        Its last count beside the expected one.
    alpha
        The probability of so low a count in a quiet window.
    share
        Of what was expected; more than that is a flow that has shrunk.

    Examples
    --------
    >>> flow = Flow("events", "site", (50, 0), None, silent_days=5.0, longest_silence_days=1.0)
    >>> has_ended(flow, Surprise(40, 50, 0.4), 0.01), has_ended(flow, Surprise(0, 3, 0.4), 0.01)
    (True, False)
    """
    if seen.expected < _LEAST_EXPECTED:
        return False
    return is_silent(flow) or (seen.p <= alpha and seen.count <= share * seen.expected)


def is_silent(flow: Flow) -> bool:
    """Tell whether nothing came for three days and three times as long as ever before.

    Examples
    --------
    >>> [is_silent(Flow("events", "site", (9, 9), None, days, 2.0)) for days in (5.0, 6.0)]
    [False, True]
    """
    return flow.silent_days >= max(_SILENT_DAYS, _SILENCES * flow.longest_silence_days)


def _stopped(subject: str, flow: Flow, seen: Surprise) -> Finding:
    figures = {"count": seen.count, "expected": seen.expected, "p": seen.p, "silent_days": flow.silent_days}
    words = Words(
        en=f"{seen.count:,.0f} came in 28 days, about {seen.expected:,.0f} were expected; "
        f"the last one {flow.silent_days:.0f} days ago",
        zh=f"28 天内仅 {seen.count:,.0f} 条，预期约 {seen.expected:,.0f} 条；最近一条在 {flow.silent_days:.0f} 天前",
    )
    return Finding("source_stopped", subject, "act", words, figures)


def find_broken_logs(flows: Sequence[Flow], arrivals: NDArray[np.int64], *, alpha: float) -> list[Finding]:
    """Return the systems whose events no longer come although leads do.

    Parameters
    ----------
    flows
        All flows of `read_flows`.
    arrivals
        Leads that arrived in each window.
    alpha
        The probability of any finding in a quiet window, shared among the systems.
    """
    systems = [flow for flow in flows if flow.table == "events"]
    found = []
    for flow in systems:
        seen = surprise(flow.counts, arrivals.tolist())
        if seen is not None and has_ended(flow, seen, alpha / len(systems), share=_LOST):
            found.append(_broken(flow, seen))
    return found


def _broken(flow: Flow, seen: Surprise) -> Finding:
    figures = {"count": seen.count, "expected": seen.expected, "p": seen.p, "silent_days": flow.silent_days}
    words = Words(
        en=f"{seen.count:,.0f} events in 28 days, {seen.expected:,.0f} would go with as many leads; "
        f"the last one {flow.silent_days:.0f} days ago",
        zh=f"28 天内 {seen.count:,.0f} 个行为，按线索数量应有约 {seen.expected:,.0f} 个；"
        f"最近一个在 {flow.silent_days:.0f} 天前",
    )
    return Finding("logging_broken", f"events.source: {flow.source or '(none)'}", "act", words, figures)
