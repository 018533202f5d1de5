"""The words of the run's report in both languages: headings, columns, what the gate asked."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CHECKS", "DECISIONS", "REPORT"]

REPORT: Mapping[str, Words] = MappingProxyType(
    {
        "title": Words(en="Training run: which leads will be won", zh="训练报告：哪些线索会赢单"),
        "until": Words(en="Data until", zh="数据截止"),
        "short": Words(en="In short", zh="摘要"),
        "scoreboard": Words(en="The scoreboard", zh="评分对比"),
        "board_rows": Words(
            en="{n} later rows with {wins} wins, the same for every method. Beneath each figure its {level} % "
            "interval. A team calls {capacity} leads per list. A figure marked ▲ is better than the model's "
            "beyond chance.",
            zh="{n} 行后续样本，含 {wins} 个赢单，各方法相同。每个数字下方为 {level} % 区间。"
            "团队每张名单联系 {capacity} 条线索。标有 ▲ 的数字明确优于模型。",
        ),
        "method": Words(en="method", zh="方法"),
        "changed": Words(en="What changed against the model before", zh="与上一个模型相比的变化"),
        "changed_none": Words(
            en="No model was served before this run, so there is nothing to compare with.",
            zh="此次训练之前没有在用模型，因此无从比较。",
        ),
        "changed_same": Words(
            en="Both recipes, refitted at the same moments and judged on the same rows; "
            "the difference is new less old.",
            zh="两种配方在相同时点重新拟合，并在相同样本上评判；差异为新减旧。",
        ),
        "changed_drivers": Words(
            en="Drivers that rose or fell, as shares of all contributions: both models on the same leads, so that only "
            "the models differ. How much of it is chance was not measured; less than a hundredth of all or a fifth of "
            "the driver is not told. All contributions together were {before} of log-odds and are {now}: by that much "
            "leads are told apart.",
            zh="变强或变弱的驱动因素（占全部贡献的份额）：两个模型作用于同一批线索，差异只来自模型。其中偶然的部分未测量；"
            "小于全部的百分之一或自身五分之一的变化不列出。全部贡献之和由 {before} 变为 {now}（对数几率），"
            "即区分线索的幅度。",
        ),
        "changed_steady": Words(en="No driver moved by more than that.", zh="没有驱动因素的变化超过该幅度。"),
        "absent": Words(
            en="{count} features that the model before read are not in these data and count as missing.",
            zh="上一个模型读取的 {count} 个特征不在本次数据中，按缺失处理。",
        ),
        "before": Words(en="before", zh="之前"),
        "now": Words(en="now", zh="现在"),
        "difference": Words(en="difference, 95 % interval", zh="差异与 95 % 区间"),
        "figure": Words(en="figure", zh="指标"),
        "rose": Words(en="rose", zh="变强"),
        "fell": Words(en="fell", zh="变弱"),
        "drivers": Words(en="What drives wins now", zh="当前影响赢单的因素"),
        "drivers_how": Words(
            en="Mean absolute contribution of each group of features to the log-odds, on {rows} judged rows by the "
            "model that would ship. In brackets what leads with such a value get on average. Contributions say what "
            "the model reads, not what causes a win.",
            zh="各特征组对对数几率的平均绝对贡献，按待发布模型在 {rows} 行评判样本上计算。"
            "括号内为该取值线索的平均贡献。贡献说明模型依据什么，而非赢单的原因。",
        ),
        "group": Words(en="group", zh="特征组"),
        "strength": Words(en="strength", zh="强度"),
        "raises": Words(en="raises", zh="提高"),
        "lowers": Words(en="lowers", zh="降低"),
        "grades": Words(en="Promised and won by grade", zh="各等级的承诺与结果"),
        "grades_how": Words(
            en="The judged rows by the grade they would have had: mean probability beside what was won, with Wilson's "
            "95 % interval. ✗: the promise lies outside it.",
            zh="评判样本按其应得等级分组：平均概率与实际赢单率，附 Wilson 95 % 区间。✗：承诺落在区间之外。",
        ),
        "grade": Words(en="grade", zh="等级"),
        "from": Words(en="from", zh="起点"),
        "rows": Words(en="rows", zh="行数"),
        "promised": Words(en="promised", zh="承诺"),
        "won": Words(en="won", zh="赢单率"),
        "interval": Words(en="95 % interval", zh="95 % 区间"),
        "gain": Words(en="What a team catches", zh="团队能捕获多少赢单"),
        "pictures": Words(en="In pictures", zh="图表"),
        "data": Words(en="The data", zh="数据"),
        "explained": Words(en="One lead, explained", zh="一条线索的解释"),
        "lead_told": Words(
            en="Lead {lead} has a probability of {probability}. The reasons add up to it, in log-odds.",
            zh="线索 {lead} 的概率为 {probability}。各项理由（对数几率）相加即为该结果。",
        ),
        "start": Words(en="where every lead starts", zh="所有线索的起点"),
        "rest": Words(en="everything else", zh="其余"),
        "sum": Words(en="sum", zh="合计"),
        "rules_say": Words(en="The rules say: {rules}", zh="规则：{rules}"),
        "next": Words(en="What to do next", zh="下一步"),
        "passed": Words(en="passed", zh="通过"),
        "failed": Words(en="failed", zh="未通过"),
        "open": Words(en="not checked", zh="未检查"),
        "learnt": Words(en="Learnt from", zh="训练样本"),
        "closed": Words(en="Left out as closed", zh="因已关闭而排除"),
        "young": Words(en="Too young", zh="尚未成熟"),
        "judged": Words(en="Judged on", zh="评判样本"),
        "horizon": Words(en="Horizon", zh="预测期"),
        "model": Words(en="Model", zh="模型"),
        "calibration": Words(en="Calibration", zh="校准"),
        "bundle": Words(en="Bundle", zh="模型包"),
        "learnt_told": Words(
            en="{labelled} pairs of a lead and a moment, {won} of them won in time ({rate})",
            zh="{labelled} 个“线索与时点”样本，其中 {won} 个按期赢单（{rate}）",
        ),
        "closed_told": Words(
            en="{closed} pairs, {later} of them known to be closed only later",
            zh="{closed} 个样本，其中 {later} 个事后才得知已关闭",
        ),
        "young_told": Words(
            en="{young} pairs whose end cannot be known yet, used as far as they are known",
            zh="{young} 个结果尚未可知的样本，按已知部分使用",
        ),
        "judged_told": Words(
            en="{n} later rows with {wins} wins, from {day} on", zh="{day} 起的 {n} 行后续样本，含 {wins} 个赢单"
        ),
        "horizon_told": Words(
            en="A lead counts as won if that happens within {days} days", zh="{days} 天内赢单即计为赢单"
        ),
        "model_told": Words(
            en="Share of the linear part {alpha}, penalty {strength}, {trees} trees",
            zh="线性部分占比 {alpha}，惩罚 {strength}，{trees} 棵树",
        ),
        "calibration_told": Words(en="Platt with slope {a} and intercept {b}", zh="Platt 校准，斜率 {a}，截距 {b}"),
    }
)

DECISIONS: Mapping[str, Words] = MappingProxyType(
    {
        "promote": Words(en="May be served", zh="可以上线"),
        "keep": Words(en="Not to be served: what is served stays", zh="不上线：保持现有服务"),
        "by_hand": Words(en="A person has to decide", zh="需要人工决定"),
    }
)

CHECKS: Mapping[str, Words] = MappingProxyType(
    {
        "log loss": Words(en="good enough beside what is served", zh="不逊于在用方法"),
        "calibration": Words(en="probabilities right on later months", zh="后续月份的概率正确"),
        "wins at capacity": Words(en="more wins than the rules with the same calls", zh="同等联系量下赢单多于规则"),
        "refit": Words(en="the model that would ship says what was judged", zh="待发布模型与评判模型一致"),
        "segments": Words(en="no part of the leads worse off", zh="没有细分变差"),
    }
)
