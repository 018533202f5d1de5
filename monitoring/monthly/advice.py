"""The two or three things to do next, from what monitoring found and from baselines that are missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from features.words import Words
from monitoring.baselines.table import shown_value
from monitoring.drift.finding import BROKEN_DATA, KINDS
from monitoring.words import ACTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitoring.baselines.report import Row
    from monitoring.drift.finding import Finding
    from monitoring.trigger import Call

__all__ = ["MOST_ADVICE", "Advice", "what_to_do"]

MOST_ADVICE = 3


@dataclass(frozen=True)
class Advice:
    """What to do, why, and who answers for it where that is known."""

    what: Words
    why: Words
    owner: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"what": self.what.model_dump(), "why": self.why.model_dump(), "owner": self.owner}


def what_to_do(findings: Sequence[Finding], missed: Sequence[Row], call: Call | None) -> tuple[Advice, ...]:
    """Return at most three things, the most pressing first.

    Data that are broken come first, as every other figure hangs on them; then other findings that call for action,
    baselines that are red (those that got worse, then those furthest from their threshold), a retrain that is due, and
    what is only to be watched. Of one kind of finding the first is told, so that one cause does not fill the page.

    Parameters
    ----------
    findings
        Of record and drift.
    missed
        Red baselines.
    call
        What monitoring says is due; None where it was not asked.
    """
    acting = [finding for finding in findings if finding.severity == "act"]
    broken = [finding for finding in acting if finding.kind in BROKEN_DATA]
    others = [finding for finding in acting if finding.kind not in BROKEN_DATA]
    watched = [finding for finding in findings if finding.severity == "watch"]
    ranked = [
        *(_of_finding(finding) for finding in _one_a_kind(broken)),
        *(_of_finding(finding) for finding in _one_a_kind(others)),
        *(_of_baseline(row) for row in sorted(missed, key=_distance)),
        *_of_call(call),
        *(_of_finding(finding) for finding in _one_a_kind(watched)),
    ]
    return tuple(ranked[:MOST_ADVICE])


def _one_a_kind(findings: Sequence[Finding]) -> list[Finding]:
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.kind, finding)
    return list(first.values())


def _of_finding(finding: Finding) -> Advice:
    kind, evidence, remedy = KINDS[finding.kind], finding.evidence, finding.remedy
    return Advice(
        what=Words(en=f"{remedy.en[0].upper()}{remedy.en[1:]}", zh=remedy.zh),
        why=Words(
            en=f"{kind.en} ({finding.subject}): {evidence.en}", zh=f"{kind.zh}（{finding.subject}）：{evidence.zh}"
        ),
    )


def _of_baseline(row: Row) -> Advice:
    told, threshold = (_written(row, value) for value in (row.measured.value or 0.0, row.baseline.threshold))
    words, least = row.baseline.words, row.baseline.at_least is not None
    worse = row.trend == "worse"
    return Advice(
        what=Words(en=f"Look into: {words.en}", zh=f"跟进：{words.zh}"),
        why=Words(
            en=f"{told}, {'at least' if least else 'at most'} {threshold} was agreed"
            f"{', and it got worse' if worse else ''}",
            zh=f"{told}，约定{'至少' if least else '至多'} {threshold}{'，且在变差' if worse else ''}",
        ),
        owner=row.owner,
    )


def _written(row: Row, value: float) -> str:
    return shown_value(row, value).replace(".0%", "%").replace("%", " %")


def _distance(row: Row) -> tuple[bool, float]:
    """Sort red baselines: those that got worse first, then by how far they are from the threshold, as a share of it."""
    threshold = row.baseline.threshold
    apart = abs((row.measured.value or 0.0) - threshold) / max(abs(threshold), 1e-9)
    return row.trend != "worse", -apart


def _of_call(call: Call | None) -> list[Advice]:
    if call is None or call.act not in {"retrain", "recalibrate"}:
        return []
    act = ACTS[call.act]
    words = Words(
        en=f"Have the model {'retrained' if call.act == 'retrain' else 'recalibrated'} (`clew monitor --act`)",
        zh=f"安排模型{act.zh}（`clew monitor --act`）",
    )
    return [Advice(words, call.reason)]
