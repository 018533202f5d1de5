"""A suggested scorecard as a YAML file that a person reads, changes and names in clew.yaml, evidence beside rules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.clock import from_us
from data.files import written_whole
from training.rules.suggest import CURRENT, SUGGESTED

if TYPE_CHECKING:
    from training.rules.judging import RuleHistory
    from training.rules.suggest import Suggestion

__all__ = ["suggestion_yaml", "write_suggestion"]


def write_suggestion(suggestion: Suggestion, path: Path) -> Path:
    """Write the suggested scorecard; the file is there whole or not at all.

    Raises
    ------
    InfrastructureError
        If it cannot be written.
    """
    with written_whole(path) as beside:
        beside.write_text(suggestion_yaml(suggestion, path), encoding="utf-8")
    return path


def suggestion_yaml(suggestion: Suggestion, path: Path) -> str:
    """Return the file's text: a comment with what was judged, then the scorecard, evidence above each rule."""
    card = suggestion.scorecard
    lines = [*(f"# {line}".rstrip() for line in _head(suggestion, path)), f"name: {_flow(card.name)}", ""]
    if card.lists:
        lines += ["lists:", *(f"  {_flow(name)}: {_flow(list(values))}" for name, values in card.lists.items()), ""]
    lines.append("rules:")
    for rule, learnt, held in zip(card.rules, suggestion.learnt, suggestion.held, strict=True):
        when = rule.when.model_dump(mode="json", by_alias=True, exclude_none=True)
        lines += [f"  # {line}" for line in _evidence(learnt, held)]
        lines += [f"  - rule: {_flow(rule.rule)}", f"    when: {_flow(_neat(when))}", f"    points: {rule.points}"]
        lines += [f"    words: {_flow(dict(rule.words))}"] if rule.words else []
    first = card.pools[0].pool
    fitting, capacity = suggestion.fitting, suggestion.judged.capacity
    reached = (
        f"{fitting.leads_a_month:.1f} leads a month on the newest lists, {suggestion.leads_a_month:.1f} on the judged"
    )
    lines += ["", "pools:", f"  # pool {first}: {reached}; capacity {capacity}"]
    if fitting.lower is not None:
        lines.append(f"  # from {fitting.lower} points it would be {fitting.lower_leads_a_month:.1f} leads a month")
    lines += [f"  - {_flow(pool.model_dump(mode='json', exclude_none=True))}" for pool in card.pools]
    return "\n".join(lines) + "\n"


def _head(suggestion: Suggestion, path: Path) -> Iterator[str]:
    board = suggestion.judged
    yield f"Suggested by clew from {suggestion.fit_rows:,} rows with {suggestion.fit_wins:,} wins that had all"
    start = f"{from_us(suggestion.judge_from_us):%Y-%m-%d}"
    yield f"matured by {start}; judged on {board.n:,} later rows with {board.wins:,} wins."
    for method, told in ((SUGGESTED, "this card"), (CURRENT, "the one before")):
        wins, auc = board.figure(method, "wins_at_capacity"), board.figure(method, "roc_auc")
        yield f"  {told}: {_range(*wins, 1)} wins at capacity, ROC-AUC {_range(*auc, 3)}"
    yield f"{suggestion.verdict()}."
    yield ""
    yield "Points are a person's to change. To use the card, name this file in clew.yaml:"
    yield f"  scorecard: {_flow(str(path))}"


def _evidence(learnt: RuleHistory, held: RuleHistory) -> Iterator[str]:
    rates = f"{_percent(learnt.rate_fired)} won where it fires, {_percent(learnt.rate_else)} where not"
    yield f"fires on {_percent(learnt.share)} of rows; {rates}: {_range(*learnt.lift, 2)} times as often"
    yield f"on the judged lists: fires on {_percent(held.share)}, {_range(*held.lift, 2)} times as often"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _range(value: float, low: float, high: float, digits: int) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.{digits}f}" + ("" if math.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})")


def _flow(value: Any) -> str:  # noqa: ANN401 - whatever YAML can carry
    """Return a value as YAML on one line, quoted where it has to be."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _neat(value: Any) -> Any:  # noqa: ANN401 - a part of a condition
    """Write whole numbers without a point, as a person would."""
    if isinstance(value, dict):
        return {key: _neat(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_neat(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
