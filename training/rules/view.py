"""What a terminal shows of the rules: each rule, the pools, the months, a suggestion, the disagreements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from data.clock import from_us
from data.console import console, sentences
from training.evaluation.scoreboard import EVERYONE
from training.rules.judging import PRIOR
from training.rules.review import CARD
from training.rules.suggest import CURRENT, SUGGESTED

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from training.evaluation.bootstrap import Interval
    from training.rules.disagreements import Sides
    from training.rules.judging import JudgedCards
    from training.rules.review import RulesReview
    from training.rules.suggest import Suggestion

__all__ = ["show_judged_sides", "show_open", "show_review", "show_suggestion"]

_SHOWN_OPEN, _SHOWN_MONTHS = 20, 12
_SIDE_NAMES = {
    "rules_high": "rules high, model low",
    "model_high": "model high, rules low",
    "both_high": "both high",
}
_COLOURS = {"never fires": "yellow", "always fires": "yellow", "wrong way": "red"}


def show_review(review: RulesReview) -> None:
    """Print the rules, the pools, the months and what to look at."""
    out = console()
    for table in (_rules(review), _pools(review), _months(review.judged)):
        out.print(table)
    out.print(sentences(review.verdict()), markup=False)
    for finding in review.findings():
        out.print(f"• {finding}", markup=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def _rules(review: RulesReview) -> Table:
    from rich.text import Text

    title = f"rules of {review.scorecard.name} on {review.lists} lists"
    table = _table(title, "rule", "points", "history", "fires", "won", "else", "lift", "verdict")
    for rule in review.rules:
        history = rule.history
        table.add_row(
            Text(history.rule),
            f"{history.points:+d}",
            _interval(rule.supported, 0, sign=True),
            _percent(history.share),
            _percent(history.rate_fired),
            _percent(history.rate_else),
            _interval(history.lift, 2),
            Text(rule.verdict, style=_COLOURS.get(rule.verdict, "")),
        )
    return table


def _pools(review: RulesReview) -> Table:
    title = f"pools (capacity {review.judged.capacity} leads a month)"
    table = _table(title, "pool", "points from", "leads a month", "fewest", "most", "won")
    for pool in review.pools:
        rate = pool.wins / pool.rows if pool.rows else None
        start = "–" if pool.threshold is None else str(pool.threshold)
        table.add_row(pool.pool, start, f"{pool.mean:.1f}", str(pool.fewest), str(pool.most), _percent(rate))
    return table


def _months(judged: JudgedCards) -> Table:
    table = _table(
        f"the rules on the last {min(len(judged.months), _SHOWN_MONTHS)} lists",
        "list of",
        "leads",
        "wins",
        "caught",
        "by chance",
        "ROC-AUC",
        "lift at 10 %",
    )
    for month in (*judged.months[-_SHOWN_MONTHS:], EVERYONE):
        rows, wins = judged.counts(month)
        table.add_row(
            month if month != EVERYONE else f"all {len(judged.months)}",
            f"{rows:,}",
            str(wins),
            _interval(judged.figure(CARD, "wins_at_capacity", group=month), 1),
            _interval(judged.figure(PRIOR, "wins_at_capacity", group=month), 1, bare=True),
            _interval(judged.figure(CARD, "roc_auc", group=month), 2),
            _interval(judged.figure(CARD, "lift_at_10", group=month), 1),
        )
    return table


def show_suggestion(suggestion: Suggestion) -> None:
    """Print a suggested scorecard beside the current one."""
    from rich.text import Text

    out = console()
    rules = _table("suggested rules", "rule", "points", "fires", "lift", "later lists")
    for learnt, held in zip(suggestion.learnt, suggestion.held, strict=True):
        lifts = (_interval(learnt.lift, 2), _interval(held.lift, 2))
        rules.add_row(Text(learnt.rule), f"{learnt.points:+d}", _percent(learnt.share), *lifts)
    out.print(rules)
    judged = suggestion.judged
    title = f"on {len(judged.months)} later lists, {judged.wins} wins, capacity {judged.capacity}"
    figures = _table(title, "scorecard", "wins caught", "ROC-AUC", "lift at 10 %")
    for method in (SUGGESTED, CURRENT, PRIOR):
        told = (("wins_at_capacity", 1), ("roc_auc", 3), ("lift_at_10", 2))
        figures.add_row(method, *(_interval(judged.figure(method, name), digits) for name, digits in told))
    gains = (("wins_at_capacity", 1), ("roc_auc", 3), ("lift_at_10", 2))
    figures.add_row("gained", *(_interval(suggestion.gain(name), digits, sign=True) for name, digits in gains))
    out.print(figures)
    first = suggestion.scorecard.pools[0]
    reached = f"pool {first.pool} from {first.threshold} points gets {suggestion.leads_a_month:.1f} leads a month"
    out.print(sentences(suggestion.verdict(), reached), markup=False, soft_wrap=True)
    for word, names in (("kept", suggestion.kept), ("left out", suggestion.dropped)):
        if names:
            out.print(f"{word}: {', '.join(names)}", markup=False, soft_wrap=True)


def show_judged_sides(sides: Sides) -> None:
    """Print who was right where rules and model disagreed."""
    table = _table("rules and model on the judged lists", "side", "leads", "rows", "won", "95 % of")
    for row in sides.rows:
        ends = "–" if row["low"] is None else f"{_percent(row['low'])} – {_percent(row['high'])}"
        table.add_row(_SIDE_NAMES[row["side"]], str(row["leads"]), str(row["rows"]), _percent(row["rate"]), ends)
    out = console()
    out.print(table)
    out.print(sentences(sides.verdict()), markup=False)


def show_open(table: pd.DataFrame) -> None:
    """Print today's open leads on which rules and model disagree, the strongest disagreements first."""
    from rich.text import Text

    apart = table[table["side"] != "both_high"]
    shown = _table(f"open leads: {len(apart)} disagreements", "lead", "points", "probability", "side")
    for row in apart.head(_SHOWN_OPEN).to_dict("records"):
        points, probability = f"{row['points']:.0f}", _percent(row["probability"])
        shown.add_row(Text(str(row["lead_id"])), points, probability, _SIDE_NAMES[row["side"]])
    out = console()
    out.print(shown)
    if len(apart) > _SHOWN_OPEN:
        moment = from_us(int(apart["as_of_us"].iloc[0]))
        out.print(f"{len(apart) - _SHOWN_OPEN} more as of {moment:%Y-%m-%d}: all of them with --json", markup=False)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(found: Interval, digits: int, *, sign: bool = False, bare: bool = False) -> str:
    """Return a figure with its ends beneath it, or by itself where they are not known or not wanted."""
    if math.isnan(found.value):
        return "–"
    form = f"{'+' if sign else ''}.{digits}f"
    if bare or math.isnan(found.low):
        return format(found.value, form)
    return f"{found.value:{form}}\n{found.low:{form}} – {found.high:{form}}"
