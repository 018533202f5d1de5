"""The lead quality report of a week: everything measured once, and in words what could not be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso
from data.errors import ClewError
from features.words import Words
from monitoring.quality.alerts import fallen_leads, prepare_signs, still_leads, usual_quiet
from monitoring.quality.contacts import prepare_contact_keys
from monitoring.quality.duplicates import count_duplicates
from monitoring.quality.fullness import measure_completeness, measure_reach
from monitoring.quality.losses import gather_losses, read_losses
from monitoring.quality.mix import Count, count_by_band, count_by_column
from monitoring.quality.records import prepare_records
from monitoring.quality.scores import read_before_end, read_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from data.settings import Settings
    from monitoring.quality.alerts import Fallen, Quiet, Still
    from monitoring.quality.duplicates import Duplicates
    from monitoring.quality.fullness import Completeness, Reach
    from monitoring.quality.limits import Limits
    from monitoring.quality.losses import Loss, Losses
    from monitoring.quality.mix import Row
    from monitoring.quality.scores import LastScore
    from monitoring.quality.weeks import Weeks

__all__ = ["STILL_FALLBACK_DAYS", "Alerts", "QualityReport", "ScoreBook", "measure_quality", "report_quality"]

STILL_FALLBACK_DAYS = 14.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class ScoreBook:
    """What the history had said by the week's start and its end, and of each lost lead before its end."""

    before: Mapping[str, LastScore]
    now: Mapping[str, LastScore]
    lost: Mapping[str, LastScore]


@dataclass(frozen=True)
class Alerts:
    """The leads to look at, all of them; `high` are the open leads of the best band, `quiet` how long is long."""

    fallen: tuple[Fallen, ...]
    still: tuple[Still, ...]
    high: int
    quiet: Quiet
    comparable: int


@dataclass(frozen=True)
class QualityReport:
    """One week of leads. `bands` and `alerts` are None without a history of scores; `not_measured` says why."""

    weeks: Weeks
    limits: Limits
    open: Count
    new: Count
    bands: tuple[Row, ...] | None
    sources: tuple[Row, ...]
    industries: tuple[Row, ...]
    completeness: Completeness
    reach: Reach
    duplicates: Duplicates
    alerts: Alerts | None
    losses: Losses
    not_measured: tuple[Words, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: counts, shares and ids of leads."""
        told = asdict(self)
        del told["weeks"]
        bounds = {"since": iso(from_us(self.weeks.now.since_us)), "until": iso(from_us(self.weeks.now.until_us))}
        told["limits"] = self.limits.model_dump()
        told["not_measured"] = [words.model_dump() for words in self.not_measured]
        return {"report": self.weeks.report, **bounds, **told}


def report_quality(settings: Settings, weeks: Weeks, limits: Limits, *, tell: Tell = lambda _: None) -> QualityReport:
    """Measure the week from the warehouse and, where there is one, the store's history of scores.

    Parameters
    ----------
    settings
        Where both are.
    weeks
        Which week.
    limits
        Thresholds.
    tell
        Told what is going on.

    Raises
    ------
    InfrastructureError
        If the warehouse cannot be read.
    """
    from data.warehouse import Warehouse

    with Warehouse(settings.warehouse_dir).connect(threads=settings.query_threads) as connection:
        tell("reading the losses")
        losses = read_losses(connection, weeks)
        tell("reading the history of scores")
        book, why = _score_book(settings, weeks, losses)
        report = measure_quality(connection, weeks, limits, losses=losses, book=book, tell=tell)
    return report if why is None else replace(report, not_measured=(why, *report.not_measured))


def measure_quality(
    connection: duckdb.DuckDBPyConnection,
    weeks: Weeks,
    limits: Limits,
    *,
    losses: Sequence[Loss],
    book: ScoreBook | None,
    tell: Tell = lambda _: None,
) -> QualityReport:
    """Measure the week.

    Parameters
    ----------
    connection
        With the warehouse's views; temporary tables are made in it.
    weeks
        Which week.
    limits
        Thresholds.
    losses
        From `read_losses`.
    book
        The scores, None without any.
    tell
        Told what is going on.
    """
    tell("finding who was open and new")
    prepare_records(connection, weeks)
    tell("comparing contacts")
    prepare_contact_keys(connection)
    completeness = measure_completeness(connection)
    reach = measure_reach(connection)
    duplicates = count_duplicates(connection)
    tell("looking for leads that fell or stand still")
    opened, new = _totals(connection)
    return QualityReport(
        weeks=weeks,
        limits=limits,
        open=opened,
        new=new,
        bands=None if book is None else count_by_band(connection, {"now": book.now, "before": book.before}),
        sources=count_by_column(connection, "source"),
        industries=count_by_column(connection, "industry"),
        completeness=completeness,
        reach=reach,
        duplicates=duplicates,
        alerts=None if book is None else _alerts(connection, weeks, limits, book),
        losses=gather_losses(losses, weeks=len(weeks.periods), scores=None if book is None else book.lost),
        not_measured=_missing(completeness, reach, duplicates),
    )


def _totals(connection: duckdb.DuckDBPyConnection) -> tuple[Count, Count]:
    rows = connection.execute(
        "SELECT moment, COUNT(*) FILTER (WHERE is_open), COUNT(*) FILTER (WHERE is_new) "
        "FROM quality_records GROUP BY moment"
    ).fetchall()
    told = {moment: counts for moment, *counts in rows}
    now, before = told.get("now", [0, 0]), told.get("before", [0, 0])
    return Count(now[0], before[0]), Count(now[1], before[1])


def _score_book(settings: Settings, weeks: Weeks, losses: Sequence[Loss]) -> tuple[ScoreBook | None, Words | None]:
    """Return the history, or why there is none."""
    from data.store.engine import expect_schema, open_store

    last = len(weeks.periods) - 1
    ends = {loss.lead_id: loss.end_us for loss in losses if loss.week == last}
    try:
        with closing(open_store(settings.store_url)) as store:
            expect_schema(store)
            now = read_scores(store, at_us=weeks.now.until_us)
            before = read_scores(store, at_us=weeks.now.since_us)
            lost = read_before_end(store, ends, known_us=weeks.now.until_us)
    except ClewError as error:
        return None, Words(
            en=f"grades, leads that fell or stand still, cost of losses: {error}",
            zh=f"等级、评分下降或停滞的线索、流失代价：评分记录无法读取（{error}）",
        )
    if now:
        return ScoreBook(before, now, lost), None
    return None, Words(
        en="grades, leads that fell or stand still, cost of losses: no score had been given by the end of the week; "
        "`clew score` gives some",
        zh="等级、评分下降或停滞的线索、流失代价：本周结束前没有任何评分；运行 `clew score` 生成评分",
    )


def _alerts(connection: duckdb.DuckDBPyConnection, weeks: Weeks, limits: Limits, book: ScoreBook) -> Alerts:
    at_us = weeks.now.until_us
    told = connection.execute("SELECT lead_id FROM quality_records WHERE is_open AND moment = 'now' ORDER BY lead_id")
    people = [lead_id for (lead_id,) in told.fetchall()]
    prepare_signs(connection, book.now, at_us=at_us)
    quiet = usual_quiet(connection, fallback_days=STILL_FALLBACK_DAYS)
    if limits.still_days is not None:
        quiet = type(quiet)(limits.still_days, None)
    return Alerts(
        fallen=fallen_leads(people, book.before, book.now, grades=limits.fall_grades),
        still=still_leads(connection, book.now, at_us=at_us, days=quiet.days),
        high=sum(lead_id in book.now and book.now[lead_id].is_high for lead_id in people),
        quiet=quiet,
        comparable=sum(lead_id in book.now and lead_id in book.before for lead_id in people),
    )


def _missing(completeness: Completeness, reach: Reach, duplicates: Duplicates) -> tuple[Words, ...]:
    found = []
    absent = [field.field for field in completeness.fields if not field.kept]
    if absent:
        found.append(_absent(absent))
    if not duplicates.measured:
        found.append(
            Words(
                en="duplicates: no contact data are kept in the warehouse, so that nothing can be compared",
                zh="重复线索：数据仓库中没有联系方式，无法比较",
            )
        )
    unlogged = [words for words, count in (("bounce", reach.bounced), ("opt_out", reach.opted_out)) if count is None]
    if unlogged:
        listed = ", ".join(unlogged)
        found.append(
            Words(
                en=f"addresses that came back or people who opted out: no event of the type {listed} was ever imported",
                zh=f"退信或退订：从未导入过类型为 {listed} 的事件",
            )
        )
    return tuple(found)


def _absent(fields: Sequence[str]) -> Words:
    from monitoring.quality.words import FIELD_WORDS

    return Words(
        en=f"completeness of {', '.join(FIELD_WORDS[name].en for name in fields)}: no lead carries it, so it is not "
        "part of the export",
        zh=f"{'、'.join(FIELD_WORDS[name].zh for name in fields)}的完整度：没有任何线索带有该字段，导出中不包含",
    )
