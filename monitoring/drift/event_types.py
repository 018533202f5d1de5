"""Whether one type of event has stopped, or has another name, while the others of its source go on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from features.words import Words
from monitoring.drift.finding import Finding
from monitoring.drift.naming import renamed
from monitoring.drift.volumes import find_broken_logs, has_ended, is_silent, surprise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from monitoring.drift.volumes import Flow, Surprise

__all__ = ["LogFaults", "find_log_faults"]


@dataclass(frozen=True)
class LogFaults:
    """What is wrong with the logs of events.

    `broken` are findings of whole sources, `types` of single types of sources that go on, and `gone` names these types.
    """

    broken: tuple[Finding, ...] = ()
    types: tuple[Finding, ...] = ()
    gone: frozenset[str] = frozenset()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, whole sources first."""
        return (*self.broken, *self.types)


def find_log_faults(
    flows: Sequence[Flow], types: Sequence[Flow], arrivals: NDArray[np.int64], *, alpha: float, alpha_types: float
) -> LogFaults:
    """Tell sources whose events no longer come from single types that no longer come.

    A type is held against the other types of its source, which share its seasons and its visitors. It is named where
    they go on; where they do not, the source is.

    Parameters
    ----------
    flows, types
        All flows of `read_flows` and of `read_types`.
    arrivals
        Leads that arrived in each window.
    alpha, alpha_types
        The probability of any finding of sources, and of types, in a quiet window.

    Examples
    --------
    >>> from monitoring.drift.volumes import Flow
    >>> views, forms = (90, 110, 95, 105, 100), (10, 12, 9, 11, 0)
    >>> types = [Flow("events", "site", views, None, 0.1, 1.0, "view")]
    >>> types += [Flow("events", "site", forms, None, 28.0, 1.0, "form")]
    >>> whole = Flow("events", "site", (100, 122, 104, 116, 100), None, 0.1, 1.0)
    >>> found = find_log_faults([whole], types, np.full(5, 50), alpha=0.001, alpha_types=0.001)
    >>> [finding.subject for finding in found.findings]
    ['events.type: form of site']
    """
    broken = {one.subject: one for one in find_broken_logs(flows, arrivals, alpha=alpha)}
    named: list[Finding] = []
    gone: set[str] = set()
    for source in (flow for flow in flows if flow.table == "events"):
        own = [flow for flow in types if flow.source == source.source]
        ended = [] if is_silent(source) else _ended(own, alpha=alpha_types / max(len(types), 1))
        subject = f"events.source: {source.source or '(none)'}"
        if not ended or (subject in broken and not _goes_on(source, own, ended, arrivals, alpha)):
            continue
        broken.pop(subject, None)
        gone |= {str(flow.type) for flow, _ in ended}
        named += _told(source.source, own, ended)
    return LogFaults(tuple(broken.values()), tuple(named), frozenset(gone))


def _ended(own: Sequence[Flow], *, alpha: float) -> list[tuple[Flow, Surprise]]:
    """Return the types of a source that have ended, each beside the others."""
    total = np.sum([flow.counts for flow in own], axis=0)
    found = []
    for flow in own:
        seen = surprise(flow.counts, (total - np.asarray(flow.counts)).tolist())
        if seen is not None and has_ended(flow, seen, alpha):
            found.append((flow, seen))
    return found


def _goes_on(
    source: Flow, own: Sequence[Flow], ended: Sequence[tuple[Flow, Surprise]], arrivals: NDArray[np.int64], alpha: float
) -> bool:
    """Tell whether the types that have not ended come as ever, for as many leads."""
    names = {flow.type for flow, _ in ended}
    rest = [flow for flow in own if flow.type not in names]
    if not rest:
        return False
    counts = tuple(np.sum([flow.counts for flow in rest], axis=0).tolist())
    return not find_broken_logs([replace(source, counts=counts)], arrivals, alpha=alpha)


def _told(source: str, own: Sequence[Flow], ended: Sequence[tuple[Flow, Surprise]]) -> list[Finding]:
    """Return the finding that a type has another name where one does, else one for each type that has ended."""
    before = _shares(own, [sum(flow.counts[:-1]) for flow in own])
    now = _shares(own, [flow.counts[-1] for flow in own])
    found = renamed(f"events.type of {source or '(none)'}", before, now) if len(ended) == 1 else None
    return [found] if found else [_stopped(source, flow, seen) for flow, seen in ended]


def _shares(own: Sequence[Flow], counts: Sequence[int]) -> dict[str, float]:
    summed: defaultdict[str, float] = defaultdict(float)
    for flow, count in zip(own, counts, strict=True):
        summed[str(flow.type)] += count / max(sum(counts), 1)
    return dict(summed)


def _stopped(source: str, flow: Flow, seen: Surprise) -> Finding:
    figures = {"count": seen.count, "expected": seen.expected, "p": seen.p, "silent_days": flow.silent_days}
    words = Words(
        en=f"{seen.count:,.0f} in 28 days, {seen.expected:,.0f} would go with the other events of this source, which "
        f"go on; the last one {flow.silent_days:.0f} days ago",
        zh=f"28 天内 {seen.count:,.0f} 个，按该来源其他行为（仍正常）应有约 {seen.expected:,.0f} 个；"
        f"最近一个在 {flow.silent_days:.0f} 天前",
    )
    return Finding("event_type_stopped", f"events.type: {flow.type} of {source or '(none)'}", "act", words, figures)
