"""The words in and around the pictures of a judgement, and what methods and figures are called, in both languages."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from features.words import Words
from training.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.words import Language

__all__ = ["CAPTIONS", "METHODS", "METRIC_WORDS", "PICTURES", "SPOKEN", "method_name", "metric_name", "said"]

METHODS: Mapping[str, Words] = MappingProxyType(
    {
        "champion": Words(en="champion", zh="在用模型"),
        "prior": Words(en="prior", zh="平均赢单率"),
        "scorecard": Words(en="scorecard", zh="规则评分卡"),
        "odoo without stage": Words(en="odoo without stage", zh="Odoo（不含阶段）"),
        "odoo extended": Words(en="odoo extended", zh="Odoo（扩展）"),
        "logistic": Words(en="logistic", zh="逻辑回归"),
        "lightgbm defaults": Words(en="lightgbm defaults", zh="LightGBM（默认参数）"),
    }
)

# As a sentence names them.
SPOKEN: Mapping[str, Words] = MappingProxyType(
    {
        "champion": Words(en="the champion", zh="在用模型"),
        "prior": Words(en="the average win rate", zh="平均赢单率"),
        "scorecard": Words(en="the rules", zh="规则"),
        "odoo without stage": Words(en="Odoo's method", zh="Odoo 方法"),
        "odoo extended": Words(en="Odoo's method with more fields", zh="扩展字段的 Odoo 方法"),
        "logistic": Words(en="logistic regression", zh="逻辑回归"),
        "lightgbm defaults": Words(en="LightGBM with its defaults", zh="默认参数的 LightGBM"),
    }
)

METRIC_WORDS: Mapping[str, Words] = MappingProxyType(
    {
        name: Words(en=METRICS[name].label, zh=zh)
        for name, zh in (
            ("log_loss", "对数损失"),
            ("brier", "Brier 分数"),
            ("miscalibration", "校准误差"),
            ("discrimination", "区分度"),
            ("roc_auc", "ROC-AUC"),
            ("pr_auc", "PR-AUC"),
            ("lift_at_10", "前 10 % 提升度"),
            ("wins_at_capacity", "产能内赢单数"),
            ("calibration_in_the_large", "预测 / 实际"),
            ("calibration_slope", "校准斜率"),
        )
    }
)

PICTURES: Mapping[str, Words] = MappingProxyType(
    {
        "perfect": Words(en="perfect", zh="完全准确"),
        "by_chance": Words(en="perfect but for chance (90 %)", zh="仅偶然偏差（90 %）"),
        "observed": Words(en="observed", zh="实际"),
        "observed_rate": Words(en="observed win rate", zh="实际赢单率"),
        "parts": Words(
            en="miscalibration {0:.4f}\ndiscrimination {1:.4f}\nuncertainty {2:.4f}",
            zh="校准误差 {0:.4f}\n区分度 {1:.4f}\n不确定性 {2:.4f}",
        ),
        "predicted": Words(en="predicted probability", zh="预测概率"),
        "leads": Words(en="leads", zh="线索数"),
        "called": Words(en="share of leads called, best first", zh="联系的线索占比（从高到低）"),
        "capacity": Words(en="capacity", zh="产能"),
        "caught": Words(en="share of wins caught", zh="捕获的赢单占比"),
        "lift_of": Words(en="win rate / win rate of all", zh="赢单率 / 总体赢单率"),
        "gain": Words(en="Gain", zh="增益"),
        "lift": Words(en="Lift", zh="提升度"),
        "apart": Words(
            en="Difference to {model}: {level:.0%} paired intervals, {wins} wins",
            zh="与 {model} 之差：{level:.0%} 配对区间，{wins} 个赢单",
        ),
        "sides": Words(en="← model better | method better →", zh="← 模型更好 | 该方法更好 →"),
        "not_won": Words(en="not won", zh="未赢单"),
        "won": Words(en="won", zh="赢单"),
        "median": Words(en="predicted probability (dotted: median)", zh="预测概率（虚线：中位数）"),
        "group_share": Words(en="share of the group", zh="组内占比"),
        "higher": Words(en="{metric} (higher is better)", zh="{metric}（越高越好）"),
        "lower": Words(en="{metric} (lower is better)", zh="{metric}（越低越好）"),
        "shaded": Words(
            en="Judged month by month; shaded: {level:.0%} interval of {model}",
            zh="逐月评判；阴影：{model} 的 {level:.0%} 区间",
        ),
        "realised": Words(en="realised (Wilson, 95 %)", zh="实际（Wilson，95 %）"),
        "promised": Words(en="promised", zh="承诺"),
        "win_rate": Words(en="win rate", zh="赢单率"),
        "of_rows": Words(en="{month}\n{wins} of {rows}", zh="{month}\n{wins} / {rows}"),
        "segments": Words(
            en="{rival} against {model}, {level:.0%} paired intervals{few}",
            zh="{rival} 对比 {model}，{level:.0%} 配对区间{few}",
        ),
        "few": Words(en="; pale: fewer than {wins} wins", zh="；浅色：赢单少于 {wins} 个"),
        "segment": Words(en="{group}  ({wins} of {rows})", zh="{group}（{wins} / {rows}）"),
        "rival_sides": Words(en="← model better | other better →", zh="← 模型更好 | 对方更好 →"),
    }
)

# In the order in which a page shows them: the title, what there is to see, and whether it takes the whole width.
CAPTIONS: Mapping[str, tuple[Words, Words, bool]] = MappingProxyType(
    {
        "gain": (
            Words(en="Gain and lift", zh="增益与提升度"),
            Words(en="Share of wins caught by calling the best leads first.", zh="从高分到低分联系时捕获的赢单占比。"),
            True,
        ),
        "reliability": (
            Words(en="Reliability", zh="可靠性"),
            Words(en="Observed win rate against the predicted probability.", zh="实际赢单率与预测概率的对照。"),
            False,
        ),
        "scores": (
            Words(en="Scores by outcome", zh="按结果的评分分布"),
            Words(en="Predicted probabilities of won and other leads.", zh="赢单与其他线索的预测概率。"),
            False,
        ),
        "rolling": (
            Words(en="Month by month", zh="逐月表现"),
            Words(
                en="Each method refitted at the start of each month and judged on that month.",
                zh="每种方法在每月初重新拟合，并在当月评判。",
            ),
            True,
        ),
        "calibration_by_month": (
            Words(en="Promised and realised", zh="承诺与结果"),
            Words(
                en="Mean predicted probability of each month's list beside the win rate that it came to.",
                zh="每月名单的平均预测概率与最终赢单率。",
            ),
            True,
        ),
        "segments": (
            Words(en="Where it holds", zh="各细分表现"),
            Words(
                en="The best other method against the model, by segment, with paired intervals.",
                zh="按细分比较最好的其他方法与模型，附配对区间。",
            ),
            True,
        ),
        "differences": (
            Words(en="Differences to the model", zh="与模型之差"),
            Words(
                en="Each method's paired difference to the model with its 95 % interval; right of the line is better.",
                zh="各方法与模型的配对差异及 95 % 区间；线右侧为更好。",
            ),
            True,
        ),
    }
)


def said(name: str, language: Language, **values: object) -> str:
    """Return words of a picture, with figures put in.

    Examples
    --------
    >>> said("few", "en", wins=30), said("won", "zh")
    ('; pale: fewer than 30 wins', '赢单')
    """
    words = PICTURES[name].in_language(language)
    return words.format(**values) if values else words


def method_name(method: str, language: Language) -> str:
    """Return what a method is called; one of the user's own keeps its name.

    Examples
    --------
    >>> method_name("scorecard", "zh"), method_name("clew", "zh")
    ('规则评分卡', 'clew')
    """
    return METHODS[method].in_language(language) if method in METHODS else method


def metric_name(metric: str, language: Language) -> str:
    """Return what a figure is called.

    Examples
    --------
    >>> metric_name("log_loss", "en"), metric_name("log_loss", "zh")
    ('log loss', '对数损失')
    """
    return METRIC_WORDS[metric].in_language(language)
