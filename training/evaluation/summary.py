"""A scoreboard in a few sentences: what is better than what, by how much, and what cannot be told apart."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from features.words import Words
from training.evaluation.picture_words import SPOKEN
from training.evaluation.scoreboard import EVERYONE, JUDGED_WINS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.evaluation.scoreboard import Scoreboard

__all__ = ["caveats_in_words", "summarise"]

_RULES = "scorecard"
_SAME = 1e-9
_QUESTIONS = {
    "log_loss": Words(en="Its probabilities are", zh="概率质量："),
    "roc_auc": Words(en="Its order of the leads is", zh="排序质量："),
}
# What `Scoreboard.caveats` says, and how it is said in Chinese; a caveat that is not among them stays as it is.
_CAVEATS: tuple[tuple[str, str], ...] = (
    (r"judged on one forward split, not on monthly cross-sections", "仅在一次前向划分上评判，而非逐月横截面"),
    (r"judged on (\d+) monthly cross-sections?: the history is short", r"仅在 \1 个月度横截面上评判：历史较短"),
    (
        r"the (\d+) wins are those of (\d+) accounts, some on several lists",
        r"\1 个赢单来自 \2 家客户，部分在多张名单上",
    ),
    (
        r"at each origin every method learnt from a sample of about ([\d,]+) pairs",
        r"每个时点上各方法均从约 \1 个样本中学习",
    ),
)


def summarise(board: Scoreboard) -> tuple[Words, ...]:
    """Return what a scoreboard says, from its figures: wins at capacity, probabilities, order, level.

    Better and worse are said only where the whole paired interval lies on one side; below a hundred judged wins
    figures are told and no verdict.

    Parameters
    ----------
    board
        The figures, with their intervals.
    """
    if board.wins < JUDGED_WINS:
        few = Words(
            en=f"Only {board.wins} wins were judged, {JUDGED_WINS} are needed: the figures below carry no verdict.",
            zh=f"仅评判了 {board.wins} 个赢单，至少需要 {JUDGED_WINS} 个：以下数字不作为结论。",
        )
        return (few, *_level(board))
    others = [method for method in board.methods if method != board.model]
    compared = [_compared(board, metric, others) for metric in _QUESTIONS] if others else []
    return (*_caught(board), *compared, *_level(board))


def caveats_in_words(board: Scoreboard) -> tuple[Words, ...]:
    """Return the caveats of a scoreboard in both languages."""
    return tuple(Words(en=f"{caveat[0].upper()}{caveat[1:]}.", zh=_translated(caveat)) for caveat in board.caveats)


def _translated(caveat: str) -> str:
    for pattern, chinese in _CAVEATS:
        if re.fullmatch(pattern, caveat):
            return f"{re.sub(pattern, chinese, caveat)}。"
    return caveat


def _caught(board: Scoreboard) -> tuple[Words, ...]:
    """Say how many wins a team catches with its calls, beside the rules."""
    mine = board.figure(board.model, "wins_at_capacity")
    if _RULES not in board.methods or math.isnan(mine["value"]):
        return ()
    rules = board.figure(_RULES, "wins_at_capacity")
    more = -rules["difference"]
    ends = sorted((-rules["difference_low"], -rules["difference_high"]))
    better = board.significantly_worse(_RULES, "wins_at_capacity")
    worse = board.significantly_better(_RULES, "wins_at_capacity")
    word = Words(en="not told apart from the rules by that", zh="尚不能与规则区分")
    if better or worse:
        word = (
            Words(en="better than the rules", zh="优于规则")
            if better
            else Words(en="worse than the rules", zh="不如规则")
        )
    told = f"{mine['value']:.0f}", f"{rules['value']:.0f}", _signed(more), _signed(ends[0]), _signed(ends[1])
    level = f"{board.level:.0%}".replace("%", " %")
    return (
        Words(
            en=f"Calling {board.capacity} leads from each of {board.origins} lists catches {told[0]} of {board.wins} "
            f"wins with the model and {told[1]} with the rules: {told[2]} ({told[3]} to {told[4]}, {level} interval), "
            f"{word.en}.",
            zh=f"在 {board.origins} 张名单上各联系 {board.capacity} 条线索，"
            f"模型捕获 {board.wins} 个赢单中的 {told[0]} 个，"
            f"规则捕获 {told[1]} 个：相差 {told[2]}（{level} 区间 {told[3]} 至 {told[4]}），{word.zh}。",
        ),
    )


def _compared(board: Scoreboard, metric: str, others: Sequence[str]) -> Words:
    """Say which methods the model is better than, which it is not told apart from, and which are better."""
    ahead = [m for m in others if board.significantly_worse(m, metric) and abs(_apart(board, m, metric)) > _SAME]
    behind = [m for m in others if board.significantly_better(m, metric)]
    level = [method for method in others if method not in (*ahead, *behind)]
    # What the model does not beat is what the reader has to know, so it is never folded into a count.
    parts_en = [
        f"better than {_listed(ahead, 'en')}" if ahead else "",
        f"not clearly better than {_listed(level, 'en')}" if level else "",
        f"worse than {_listed(behind, 'en')}" if behind else "",
    ]
    parts_zh = [
        f"优于{_listed(ahead, 'zh')}" if ahead else "",
        f"未明显优于{_listed(level, 'zh')}" if level else "",
        f"不如{_listed(behind, 'zh')}" if behind else "",
    ]
    opening = _QUESTIONS[metric]
    return Words(
        en=f"{opening.en} {'; '.join(part for part in parts_en if part)}.",
        zh=f"{opening.zh}{'；'.join(part for part in parts_zh if part)}。",
    )


def _level(board: Scoreboard) -> tuple[Words, ...]:
    """Say whether as much was won as was promised."""
    row = board.figure(board.model, "calibration_in_the_large", group=EVERYONE)
    if math.isnan(row["value"]) or math.isnan(row["low"]):
        return ()
    if row["low"] <= 1 <= row["high"]:
        word = Words(en="the level is right as far as can be told", zh="就现有数据看整体水平正确")
    elif row["low"] > 1:
        word = Words(en="it promised too much", zh="承诺偏高")
    else:
        word = Words(en="it promised too little", zh="承诺偏低")
    span = f"{row['value']:.2f}", f"{row['low']:.2f}", f"{row['high']:.2f}"
    return (
        Words(
            en=f"Promised to won is {span[0]} to 1 ({span[1]} to {span[2]}): {word.en}.",
            zh=f"承诺与实际之比为 {span[0]}（{span[1]} 至 {span[2]}）：{word.zh}。",
        ),
    )


def _apart(board: Scoreboard, method: str, metric: str) -> float:
    return float(board.figure(method, metric)["difference"])


def _listed(methods: Sequence[str], language: str) -> str:
    names = [SPOKEN[m].in_language("zh" if language == "zh" else "en") if m in SPOKEN else m for m in methods]
    if language == "zh":
        return "、".join(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _signed(value: float) -> str:
    return f"{value:+.0f}".replace("-", "−")
