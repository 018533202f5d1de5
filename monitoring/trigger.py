"""When to learn again: every month by default, sooner when record or drift says so, never from data that are broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from features.words import Words
from monitoring.drift.finding import BROKEN_DATA, KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from monitoring.drift.finding import Finding, Kind

__all__ = ["Act", "Call", "call_for", "names_of"]

Act = Literal["none", "retrain", "recalibrate", "mend"]

_AT_ONCE: frozenset[Kind] = frozenset({"promise_broken", "ranking_lost"})
_SOONER: frozenset[Kind] = frozenset({"values_moved", "score_moved", "reasons_moved"})
SOONER_DAYS = 14


@dataclass(frozen=True)
class Call:
    """What is to be done now, why in words, and the findings that say so, as `kind subject`."""

    act: Act
    reason: Words
    because: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "reason": self.reason.model_dump(), "because": list(self.because)}


def call_for(
    findings: Sequence[Finding], *, learnt_days: float | None, new_month: bool, answered: Collection[str] = ()
) -> Call:
    """Decide what follows from the findings.

    A model that is fitted on broken data learns the break, so broken data are mended first, also where a month is
    over. A broken promise or a lost order calls for a retrain at once; values or scores that have moved do from two
    weeks after the last one on, since new kinds of leads have to be seen for a while. Where only the level has moved
    the intercept is moved, also where that is only to be watched: recalibration weighs the evidence itself, its
    corrections never add up, and where nothing is due it changes nothing.

    Parameters
    ----------
    findings
        Of record and drift.
    learnt_days
        How long ago the data of the served model ended, in days; None where none is served.
    new_month
        Whether a month has begun since then.
    answered
        What had been found at the last retrain, as `kind subject`.

    Examples
    --------
    >>> call_for([], learnt_days=12.0, new_month=False).act
    'none'
    >>> call_for([], learnt_days=31.0, new_month=True).act
    'retrain'
    >>> from monitoring.drift.finding import Finding
    >>> moved = Finding("base_rate_moved", "outcomes: won", "act", Words(en="", zh=""))
    >>> call_for([moved], learnt_days=12.0, new_month=False).act
    'recalibrate'
    """
    broken = _of(findings, BROKEN_DATA)
    if broken:
        return _call("mend", broken, "no retrain before it is mended", "修复之前不重新训练")
    if learnt_days is None:
        return Call("retrain", Words(en="no model is served yet", zh="尚无在用模型"))
    fresh = [finding for finding in findings if names_of([finding])[0] not in answered]
    at_once = _of(fresh, _AT_ONCE)
    if at_once and learnt_days >= 1:
        return _call("retrain", at_once, "retrain at once", "立即重新训练")
    if new_month:
        return Call("retrain", Words(en="a month is over", zh="已满一个月"), names_of(findings))
    return _within_the_month(findings, fresh, learnt_days)


def names_of(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return findings by name, as `kind subject`."""
    return tuple(f"{finding.kind} {finding.subject}" for finding in findings)


def _within_the_month(findings: Sequence[Finding], fresh: Sequence[Finding], learnt_days: float) -> Call:
    """Decide where nothing is broken and the month is not over."""
    moved, level = _of(fresh, _SOONER), _of(findings, {"base_rate_moved"})
    if moved and learnt_days >= SOONER_DAYS:
        return _call("retrain", moved, "retrain after two weeks instead of a month", "两周即重新训练，不等满月")
    if level:
        return _call("recalibrate", level, "only the level has moved", "只有整体水平变化")
    if moved:
        words = Words(
            en="something has moved; a retrain is due two weeks after the last", zh="已有变化，距上次满两周时重训"
        )
        return Call("none", words, names_of(moved))
    if findings:
        words = Words(en="what has moved was known at the last retrain", zh="这些变化在上次重新训练时已知")
        return Call("none", words, names_of(findings))
    return Call("none", Words(en="all is as it was", zh="一切如常"))


def _of(findings: Sequence[Finding], kinds: Collection[Kind]) -> list[Finding]:
    return [finding for finding in findings if finding.kind in kinds]


def _call(act: Act, findings: Sequence[Finding], en: str, zh: str) -> Call:
    first = KINDS[findings[0].kind]
    subject = findings[0].subject
    return Call(act, Words(en=f"{first.en} ({subject}): {en}", zh=f"{first.zh}（{subject}）：{zh}"), names_of(findings))
