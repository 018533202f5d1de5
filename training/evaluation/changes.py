"""What changed against the model before: figures side by side, the data it learnt from, drivers that rose and fell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from features.words import Words
from training.evaluation.drivers import DriverChange, Drivers, driver_changes
from training.evaluation.judging import CHAMPION
from training.evaluation.picture_words import METRIC_WORDS
from training.evaluation.scoreboard_table import figure_text

if TYPE_CHECKING:
    from training.bundles.bundle import Bundle
    from training.evaluation.scoreboard import Scoreboard

__all__ = ["Changed", "Learnt", "SideBySide", "what_changed"]

_SIDE_BY_SIDE = ("log_loss", "roc_auc", "wins_at_capacity", "calibration_in_the_large", "calibration_slope")
_UNKNOWN = Words(en="not recorded", zh="未记录")


@dataclass(frozen=True)
class Learnt:
    """How many matured pairs a run learnt from and how many of them were won; None where nobody recorded it."""

    pairs: int | None = None
    won: int | None = None

    def in_words(self) -> Words:
        """Return the pairs with their win rate.

        Examples
        --------
        >>> Learnt(2000, 90).in_words().en
        '2,000 pairs, 4.5 % won'
        """
        if self.pairs is None or self.won is None:
            return _UNKNOWN
        rate = f"{100 * self.won / max(self.pairs, 1):.1f} %"
        return Words(en=f"{self.pairs:,} pairs, {rate} won", zh=f"{self.pairs:,} 个样本，赢单 {rate}")


@dataclass(frozen=True)
class SideBySide:
    """One line: what it is, how it was, how it is now, and for figures the paired difference with its interval."""

    label: Words
    before: Words
    now: Words
    apart: Words | None = None


@dataclass(frozen=True)
class Changed:
    """Figures of the two recipes on the same rows, facts of the two models, and the drivers that moved.

    `spread` is how far the models tell leads apart, before and now: all contributions together, in log-odds. `absent`
    counts features that the model before read and these data no longer have.
    """

    figures: tuple[SideBySide, ...]
    facts: tuple[SideBySide, ...]
    drivers: tuple[DriverChange, ...]
    spread: tuple[float, float]
    absent: int


def what_changed(
    board: Scoreboard,
    now: Bundle,
    before: Bundle,
    *,
    drivers: tuple[Drivers, Drivers],
    learnt: tuple[Learnt, Learnt],
) -> Changed:
    """Set a model against the one before it.

    Parameters
    ----------
    board
        Where the recipe of the model before stands as `champion`, refitted at the same moments on the same leads.
    now, before
        The two bundles.
    drivers
        Of `now` and of `before`, both on the same leads, so that only the models differ.
    learnt
        What `now` and `before` learnt from.
    """
    figures = tuple(_figure(board, metric) for metric in _SIDE_BY_SIDE) if CHAMPION in board.methods else ()
    spread = drivers[1].total, drivers[0].total
    return Changed(figures, _facts(now, before, learnt), driver_changes(*drivers), spread, drivers[1].absent)


def _figure(board: Scoreboard, metric: str) -> SideBySide:
    mine, other = board.figure(board.model, metric), board.figure(CHAMPION, metric)
    values = [figure_text(row["value"], metric) for row in (other, mine)]
    if METRIC_WORDS[metric].en in ("predicted / observed", "calibration slope"):
        return SideBySide(METRIC_WORDS[metric], _plain(values[0]), _plain(values[1]))
    ends = sorted((-other["difference_low"], -other["difference_high"]))
    told = [_signed(-other["difference"], metric), *(_signed(end, metric) for end in ends)]
    if any(math.isnan(end) for end in ends):
        return SideBySide(METRIC_WORDS[metric], _plain(values[0]), _plain(values[1]))
    clear = ends[0] > 0 or ends[1] < 0
    word = Words(en="clear", zh="明确") if clear else Words(en="within chance", zh="在偶然范围内")
    apart = Words(
        en=f"{told[0]} ({told[1]} to {told[2]}), {word.en}", zh=f"{told[0]}（{told[1]} 至 {told[2]}），{word.zh}"
    )
    return SideBySide(METRIC_WORDS[metric], _plain(values[0]), _plain(values[1]), apart)


def _facts(now: Bundle, before: Bundle, learnt: tuple[Learnt, Learnt]) -> tuple[SideBySide, ...]:
    one, other = now.manifest, before.manifest
    names = [{feature.name for feature in bundle.catalogue.features} for bundle in (before, now)]
    new, gone = len(names[1] - names[0]), len(names[0] - names[1])
    features = Words(en=f"{len(names[1])} ({new} new, {gone} gone)", zh=f"{len(names[1])}（新增 {new}，去除 {gone}）")
    return (
        SideBySide(Words(en="data until", zh="数据截止"), _day(other["cutoff"]), _day(one["cutoff"])),
        SideBySide(Words(en="learnt from", zh="训练样本"), learnt[1].in_words(), learnt[0].in_words()),
        SideBySide(
            Words(en="judged on, each at its time", zh="各自评判时的样本"),
            _judged(other.get("judged")),
            _judged(one.get("judged")),
        ),
        SideBySide(Words(en="features", zh="特征数"), _plain(str(len(names[0]))), features),
        SideBySide(Words(en="model", zh="模型"), _recipe(other["choices"]), _recipe(one["choices"])),
    )


def _judged(told: dict[str, int] | None) -> Words:
    if told is None:
        return _UNKNOWN
    rate = f"{100 * told['wins'] / max(told['rows'], 1):.1f} %"
    rows, wins = f"{told['rows']:,}", f"{told['wins']:,}"
    return Words(en=f"{rows} rows, {wins} wins ({rate})", zh=f"{rows} 行，{wins} 个赢单（{rate}）")


def _recipe(choices: dict[str, float]) -> Words:
    alpha, trees, strength = f"{choices['alpha']:g}", f"{choices['trees']:.0f}", f"{choices['strength']:g}"
    return Words(
        en=f"linear share {alpha}, penalty {strength}, {trees} trees",
        zh=f"线性部分 {alpha}，惩罚 {strength}，{trees} 棵树",
    )


def _day(moment: str) -> Words:
    return _plain(moment[:10])


def _plain(text: str) -> Words:
    return Words(en=text, zh=text)


def _signed(value: float, metric: str) -> str:
    text = figure_text(abs(value), metric)
    return f"{'−' if value < 0 else '+'}{text}"
