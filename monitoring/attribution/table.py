"""The attribution as a table for people, in English and Chinese."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.words import Language, Words
from monitoring.attribution.report import DIMENSIONS, MODELS, Attribution, Dimension

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from monitoring.attribution.report import Line

__all__ = ["WORDS", "money", "money_table", "notes", "wins_table"]

WORDS: Mapping[str, Words] = {
    "channel": Words(en="channel", zh="渠道"),
    "campaign": Words(en="campaign", zh="活动"),
    "keyword": Words(en="keyword", zh="关键词"),
    "leads": Words(en="leads", zh="线索"),
    "mqls": Words(en="MQLs", zh="MQL"),
    "cost": Words(en="cost", zh="费用"),
    "first_touch": Words(en="first", zh="首次"),
    "last_touch": Words(en="last", zh="末次"),
    "linear": Words(en="linear", zh="线性"),
    "u_shaped": Words(en="U", zh="U 型"),
    "shapley": Words(en="Shapley", zh="沙普利"),
    "markov": Words(en="Markov", zh="马尔可夫"),
    "amount": Words(en="won amount", zh="成交额"),
    "cost_per_lead": Words(en="a lead", zh="每线索"),
    "cost_per_mql": Words(en="an MQL", zh="每 MQL"),
    "cost_per_win": Words(en="a win", zh="每成交"),
    "roi": Words(en="ROI", zh="投产比"),
    "total": Words(en="total", zh="合计"),
    "wins_title": Words(en="Wins by {by}, {since} to {until}", zh="按{by}归因的成交数，{since} 至 {until}"),
    "money_title": Words(
        en="Cost and return by {by}, wins and amounts by {model}", zh="按{by}的费用与回报，成交按{model}归因"
    ),
    "more": Words(en="{n} more lines; --json has all", zh="另有 {n} 行，--json 输出全部"),
    "currencies": Words(
        en="Amounts and costs are in {names}: no ROI across currencies. Enter rates and name one with --currency.",
        zh="金额与费用涉及 {names}：不同币种不混算投产比。请录入汇率并用 --currency 指定币种。",
    ),
    "no_spend": Words(en="No spend was imported for this period.", zh="该期间未导入投放费用。"),
    "no_amount": Words(en="{n} won deals carry no amount.", zh="{n} 笔成交没有金额。"),
    "no_touch": Words(
        en="{n} wins had no touch in the window and stand under none.", zh="{n} 笔成交在回溯期内没有触点，计入 none。"
    ),
}


def money(told: Mapping[str, float] | None) -> str:
    r"""Write amounts, a line for each currency, never added up.

    Examples
    --------
    >>> money({"CNY": 1200.4, "USD": 30.0}), money(None)
    ('CNY 1,200\nUSD 30', '')
    """
    return "\n".join(f"{currency} {amount:,.0f}" for currency, amount in (told or {}).items())


def wins_table(
    report: Attribution, dimension: Dimension = "channel", *, language: Language = "en", top: int = 20
) -> Table:
    """Return leads, MQLs and the wins by each model; the last row adds up all lines, those not shown too."""
    table = _table(report, dimension, "wins_title", ("leads", "mqls", *MODELS), language)
    for line in (*report.lines[dimension][:top], report.total):
        table.add_row(
            *_named(line, dimension, language),
            f"{line.counts.leads:,}",
            f"{line.counts.mqls:,}",
            *(f"{line.wins(model):,.1f}" for model in MODELS),
        )
    return _captioned(table, report, dimension, language, top)


def money_table(
    report: Attribution,
    dimension: Dimension = "channel",
    *,
    model: str = "shapley",
    language: Language = "en",
    top: int = 20,
) -> Table:
    """Return what each line cost and earned, amounts and wins by one model."""
    columns = ("cost", "amount", "cost_per_lead", "cost_per_mql", "cost_per_win", "roi")
    table = _table(report, dimension, "money_title", columns, language, model=model)
    for line in (*report.lines[dimension][:top], report.total):
        roi = line.roi(model)
        table.add_row(
            *_named(line, dimension, language),
            money({currency: cents / 100 for currency, cents in sorted(line.spent.cost.items())}),
            money(line.amounts(model)),
            money(line.cost_per(line.counts.leads)),
            money(line.cost_per(line.counts.mqls)),
            money(line.cost_per(line.wins(model))),
            "" if roi is None else f"{roi:,.1f}",
        )
    return _captioned(table, report, dimension, language, top)


def _table(
    report: Attribution, dimension: Dimension, title: str, columns: tuple[str, ...], language: Language, model: str = ""
) -> Table:
    from rich.table import Table

    from data.clock import from_us

    def say(word: str) -> str:
        return WORDS[word].in_language(language)

    names = DIMENSIONS[dimension]
    since, until = (from_us(us).date().isoformat() for us in (report.period.since_us, report.period.until_us))
    by = " × ".join(say(name) for name in names)
    told = say(title).format(by=by, since=since, until=until, model=say(model) if model else "")
    table = Table(title=told, title_justify="left", padding=(0, 1), collapse_padding=True, show_edge=False)
    for name in names:
        table.add_column(say(name), overflow="fold")
    for name in columns:
        table.add_column(say(name), justify="right", no_wrap=True)
    return table


def _named(line: Line, dimension: Dimension, language: Language) -> list[str]:
    """Return the cells that name a line: a dash where it has no campaign or keyword, `total` for all together."""
    names = DIMENSIONS[dimension]
    if not line.key:
        return [WORDS["total"].in_language(language), *[""] * (len(names) - 1)]
    return [part or "–" for part in line.key]


def _captioned(table: Table, report: Attribution, dimension: Dimension, language: Language, top: int) -> Table:
    more = len(report.lines[dimension]) - top
    if more > 0:
        table.caption = WORDS["more"].in_language(language).format(n=more)
        table.caption_justify = "left"
    return table


def notes(report: Attribution, *, language: Language = "en") -> tuple[str, ...]:
    """Return what a reader has to know beside the figures."""

    def say(word: str, **values: object) -> str:
        return WORDS[word].in_language(language).format(**values)

    found = []
    if len(report.currencies) > 1:
        found.append(say("currencies", names=", ".join(report.currencies)))
    if not any(line.spent.cost for line in report.lines["channel"]):
        found.append(say("no_spend"))
    if report.totals.wins_without_amount:
        found.append(say("no_amount", n=report.totals.wins_without_amount))
    if report.totals.wins_without_touch:
        found.append(say("no_touch", n=report.totals.wins_without_touch))
    return tuple(found)
