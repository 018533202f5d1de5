"""The monthly page: one HTML file of one or two printed pages in plain words, which needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from data.clock import parse_moment
from data.files import written_whole
from monitoring.baselines.table import WORDS as STEP_WORDS
from monitoring.monthly.report import Part
from monitoring.monthly.words import MONTHLY, RIGHT
from monitoring.page import as_markup, promise_picture, render_template
from monitoring.words import HEADINGS
from training.evaluation.drivers import strongest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from features.words import Language
    from monitoring.monthly.report import FunnelLine, MonthlyReport
    from monitoring.record.outcomes import Worked
    from monitoring.record.promises import Promise
    from training.evaluation.drivers import Band, Driver, DriverChange

__all__ = ["monthly_file", "monthly_page", "write_monthly_page"]

_MOST_DRIVERS = 6
_MISS = 0.05  # of intervals of 95 %
_HOUR, _DAY = 60.0, 1440.0


@dataclass(frozen=True)
class _Tile:
    figure: str
    label: str
    beneath: str


@dataclass(frozen=True)
class _Cell:
    won: str
    range: str
    promised: str
    count: str
    off: bool


def monthly_file(home: Path, month: str, language: Language) -> Path:
    """Return where the page of a month lies once it is made.

    Examples
    --------
    >>> from pathlib import Path
    >>> monthly_file(Path("var"), "2026-10", "zh").as_posix()
    'var/monitoring/monthly-2026-10.zh.html'
    """
    return home / "monitoring" / f"monthly-{month}.{language}.html"


def write_monthly_page(report: MonthlyReport, path: Path, *, language: Language = "en") -> Path:
    """Write the page beside its place and move it there; return the path.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    page = monthly_page(report, language=language)
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def monthly_page(report: MonthlyReport, *, language: Language = "en") -> str:
    """Return the page as HTML; nothing is loaded from elsewhere.

    Parameters
    ----------
    report
        What was measured, of `collect_month`.
    language
        Of every word.
    """
    return _Page(report, language).render()


@dataclass(frozen=True)
class _Page:
    """A report in one language."""

    report: MonthlyReport
    language: Language

    def say(self, name: str, **values: object) -> str:
        words = MONTHLY[name].in_language(self.language)
        return words.format(**values) if values else words

    def render(self) -> str:
        report = self.report
        grades = sorted({one.grade for one in report.promises})
        picture = promise_picture(report.promises, language=self.language) if report.promises else ""
        drivers = [] if report.driving is None else strongest(report.driving.now, _MOST_DRIVERS)
        return render_template(
            "monthly.html.j2",
            title=self.say("title", month=report.month),
            language=self.language,
            known=self.say("known", day=f"{parse_moment(report.as_of):%Y-%m-%d}", days=f"{report.horizon_days:g}"),
            words={name: words.in_language(self.language) for name, words in MONTHLY.items()},
            say=self.say,
            told=lambda words: _coded(words.in_language(self.language)),
            missing={part: self._missing(part) for part in get_args(Part)},
            report=report,
            tiles=self._tiles(),
            picture=as_markup(picture),
            picture_words=HEADINGS["picture"].in_language(self.language),
            grades=grades,
            lists=self._lists(grades),
            promises_how=self._promises_how(),
            funnel=[self._funnel_line(line) for line in report.funnel],
            amounts=[self._amount_line(name, *pair) for name, pair in report.amounts.items()],
            drivers=[self._driver_line(driver, most=drivers[0].share) for driver in drivers],
            changed=self._changed(),
            right="" if report.disagreed is None else RIGHT[report.disagreed.right].in_language(self.language),
            sides=self._sides(),
            gap=self._gap(),
            worked=self._worked(),
        )

    def _missing(self, part: Part) -> str:
        """Say why a part is not there, nothing where it is."""
        why = self.report.missing.get(part)
        return "" if why is None else self.say("not_measured", why=why.in_language(self.language))

    def _tiles(self) -> list[_Tile]:
        report = self.report
        rows, promised, wins = report.matured
        lists = len({one.month for one in report.promises})
        kept = _Tile("–", self.say("tile_kept"), self.say("none"))
        if rows and promised:
            told = self.say("of_lists", wins=f"{wins:,}", promised=f"{promised:,.0f}", lists=lists)
            kept = _Tile(_percent(wins / promised), self.say("tile_kept"), told)
        return [*(self._count_tile(step) for step in ("lead", "won")), kept, self._worked_tile()]

    def _count_tile(self, step: str) -> _Tile:
        line = self.report.line(step)
        label = self.say("tile_leads" if step == "lead" else "tile_won")
        return _Tile(_count(line.now), label, self.say("of_month_before", count=_count(line.before)))

    def _worked_tile(self) -> _Tile:
        worked, before = self.report.worked, self.report.worked_before
        if worked is None or worked.share is None:
            return _Tile("–", self.say("tile_worked"), self.say("none"))
        earlier = self.say("none") if before is None or before.share is None else _percent(before.share)
        told = self.say("of_month_before", count=earlier)
        beneath = self.say("of_hot", in_time=f"{worked.in_time:,}", hot=f"{worked.hot:,}", before=told)
        return _Tile(_percent(worked.share), self.say("tile_worked"), beneath)

    def _promises_how(self) -> str:
        cells = sum(one.mature > 0 for one in self.report.promises)
        by_chance = f"{_MISS * cells:.1f}"
        return self.say("promises_how", days=f"{self.report.horizon_days:g}", cells=cells, by_chance=by_chance)

    def _lists(self, grades: Sequence[str]) -> list[tuple[str, list[_Cell | None]]]:
        """Return a row for each matured list, a cell for each grade."""
        cells = {(one.month, one.grade): self._cell(one) for one in self.report.promises}
        return [
            (month, [cells.get((month, grade)) for grade in grades])
            for month in sorted({one.month for one in self.report.promises})
        ]

    def _cell(self, one: Promise) -> _Cell | None:
        if one.realised is None or one.promised is None or one.low is None or one.high is None:
            return None
        return _Cell(
            won=_percent(one.realised),
            range=self.say("cell_range", low=_percent(one.low), high=_percent(one.high)),
            promised=self.say("cell_promised", promised=_percent(one.promised)),
            count=self.say("cell_of", wins=one.wins, leads=f"{one.mature:,}"),
            off=one.kept is False,
        )

    def _funnel_line(self, line: FunnelLine) -> tuple[str, str, str, str]:
        word = ""
        if line.now is not None and line.before is not None and line.now + line.before:
            word = self.say("same")
            if line.moved:
                word = self.say("more" if line.now > line.before else "fewer")
            if line.before:
                word = f"{_signed(100 * (line.now / line.before - 1))} % · {word}"
        return STEP_WORDS[line.step].in_language(self.language), _count(line.before), _count(line.now), word

    def _amount_line(self, currency: str, now: float, before: float) -> tuple[str, str, str, str]:
        change = f"{_signed(100 * (now / before - 1))} %" if before else ""
        return self.say("won_amount", currency=currency), f"{before:,.0f}", f"{now:,.0f}", change

    def _driver_line(self, driver: Driver, *, most: float) -> tuple[str, str, float, str, str, str]:
        """Return name, what speaks loudest in it, the width of its bar, its share, and the values on both sides."""
        name, feature = (words.in_language(self.language) for words in (driver.words, driver.feature))
        beneath = "" if feature == name else feature
        width, share = 100 * driver.share / most, _percent(driver.share)
        return name, beneath, width, share, self._bands(driver.raises), self._bands(driver.lowers)

    def _bands(self, bands: Sequence[Band]) -> str:
        comma = "、" if self.language == "zh" else "; "
        return comma.join(band.words.in_language(self.language) for band in bands) or "–"

    def _changed(self) -> str:
        """Say what rose and fell, and whether the model or only the leads are others."""
        driving = self.report.driving
        if driving is None or driving.changes is None:
            return ""
        model = self.say("same_model" if driving.same_model else "new_model")
        parts = [
            self.say(word, names=self._names([change for change in driving.changes if change.rose is rose]))
            for word, rose in (("rose", True), ("fell", False))
            if any(change.rose is rose for change in driving.changes)
        ]
        if not parts:
            return f"{self.say('changed_not')} {model}"
        semicolon = "；" if self.language == "zh" else "; "
        return f"{self.say('changed', told=semicolon.join(parts))} {model}"

    def _names(self, changes: Sequence[DriverChange]) -> str:
        comma = "、" if self.language == "zh" else ", "
        return comma.join(change.words.in_language(self.language) for change in changes[: _MOST_DRIVERS // 2])

    def _sides(self) -> list[tuple[str, str, str, str]]:
        told = self.report.disagreed
        if told is None:
            return []
        lines = []
        for name, side in (("model", told.model), ("rules", told.rules)):
            span = "–"
            if side.low is not None and side.high is not None:
                span = self.say("cell_range", low=_percent(side.low), high=_percent(side.high))
            rate = "–" if side.rate is None else f"{_percent(side.rate)} ({side.wins:,})"
            lines.append((self.say(name), f"{side.rows:,}", rate, span))
        return lines

    def _gap(self) -> str:
        told = self.report.disagreed
        if told is None or told.gap is None:
            return ""
        value, low, high = (_signed(100 * part) for part in told.gap)
        return self.say("gap", gap=value, low=low, high=high)

    def _worked(self) -> list[str]:
        worked, before = self.report.worked, self.report.worked_before
        if worked is None or worked.share is None:
            return []
        told = [
            self.say(
                "worked_told",
                in_time=f"{worked.in_time:,}",
                hot=f"{worked.hot:,}",
                share=_percent(worked.share),
                late=f"{worked.late:,}",
                never=f"{worked.never:,}",
            )
        ]
        if worked.median_minutes is not None:
            told.append(self.say("worked_median", median=self._duration(worked)))
        if before is not None and before.share is not None:
            told.append(self.say("worked_before", share=_percent(before.share), hot=f"{before.hot:,}"))
        return told

    def _duration(self, worked: Worked) -> str:
        minutes = worked.median_minutes or 0.0
        for unit, size in (("days", _DAY), ("hours", _HOUR)):
            if minutes >= 2 * size:
                return self.say(unit, value=f"{minutes / size:.0f}")
        return self.say("minutes", value=f"{minutes:.0f}")


def _coded(text: str) -> Any:  # noqa: ANN401 - a library's type
    """Return escaped text in which what stands between backticks is set as code."""
    from markupsafe import Markup

    parts = text.split("`")
    tags = [
        Markup("<code>{}</code>") if place % 2 and place < len(parts) - 1 else Markup("{}")
        for place in range(len(parts))
    ]
    return Markup("").join(tag.format(part) for tag, part in zip(tags, parts, strict=True))


def _percent(value: float) -> str:
    """Write a share as a person would say it: a decimal only below a tenth."""
    return f"{100 * value:.0f} %" if value >= 0.0995 or value == 0 else f"{100 * value:.1f} %"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _signed(value: float) -> str:
    return f"{value:+,.0f}".replace("-", "−")
