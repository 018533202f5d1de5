"""The words of the monthly page in both languages."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from features.words import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MONTHLY", "RIGHT"]

MONTHLY: Mapping[str, Words] = MappingProxyType(
    {
        "title": Words(en="Leads in {month}", zh="{month} 线索月报"),
        "known": Words(
            en="As known on {day}. A lead counts as won if that happens within {days} days of its score.",
            zh="截至 {day} 的已知情况。评分后 {days} 天内赢单即计为赢单。",
        ),
        "not_measured": Words(en="Not measured: {why}.", zh="未测量：{why}。"),
        "none": Words(en="not measured", zh="未测量"),
        "tile_leads": Words(en="new leads", zh="新增线索"),
        "tile_won": Words(en="deals won", zh="赢单"),
        "tile_kept": Words(en="won of what was promised", zh="实际赢单 / 承诺赢单"),
        "tile_worked": Words(en="of the hot leads worked in time", zh="热线索及时跟进"),
        "of_month_before": Words(en="{count} the month before", zh="上月 {count}"),
        "of_lists": Words(
            en="{wins} won, {promised} promised, {lists} lists", zh="赢单 {wins}，承诺 {promised}，{lists} 张名单"
        ),
        "of_hot": Words(en="{in_time} of {hot}; {before}", zh="{in_time} / {hot}；{before}"),
        "advice": Words(en="What to do", zh="需要做的事"),
        "advice_none": Words(
            en="Nothing calls for action: nothing was found beyond chance, and no baseline is red.",
            zh="无需行动：没有发现超出偶然的变化，也没有红色基线。",
        ),
        "owner": Words(en="answers for it: {owner}", zh="负责人：{owner}"),
        "promises": Words(en="What was promised and what came", zh="承诺与结果"),
        "promises_how": Words(
            en="Each month's list by grade: how many of the leads were won, with the range that chance allows (95 %), "
            "and what was promised. Only lists whose {days} days are over. ✗ marks a promise outside the range; of "
            "{cells} about {by_chance} are expected to be by chance alone.",
            zh="每月名单按等级：实际赢单率及偶然允许的范围（95 %），以及承诺。只含已满 {days} 天的名单。"
            "✗ 表示承诺落在范围之外；{cells} 个中预计约 {by_chance} 个仅因偶然。",
        ),
        "list": Words(en="list of", zh="名单"),
        "grade": Words(en="grade {grade}", zh="等级 {grade}"),
        "cell": Words(en="{won} won", zh="赢单 {won}"),
        "cell_range": Words(en="{low} to {high}", zh="{low} 至 {high}"),
        "cell_promised": Words(en="promised {promised}", zh="承诺 {promised}"),
        "cell_of": Words(en="{wins} of {leads}", zh="{wins} / {leads}"),
        "funnel": Words(en="The funnel beside the month before", zh="漏斗：与上月对比"),
        "funnel_how": Words(
            en="What passed each step in the month; not the same people at every step.",
            zh="当月通过各阶段的数量；各阶段不是同一批人。",
        ),
        "step": Words(en="step", zh="阶段"),
        "change": Words(en="change", zh="变化"),
        "more": Words(en="more", zh="增加"),
        "fewer": Words(en="fewer", zh="减少"),
        "same": Words(en="within chance", zh="在偶然范围内"),
        "won_amount": Words(en="won, {currency}", zh="成交额（{currency}）"),
        "drivers": Words(en="What drives wins now", zh="当前影响赢单的因素"),
        "drivers_how": Words(
            en="What moves the scores of the {leads} leads open at the end of the month most. A score knows what goes "
            "with winning, not what causes it.",
            zh="对月末 {leads} 条进行中线索的评分影响最大的因素。评分说明什么与赢单相关，而非原因。",
        ),
        "driver": Words(en="what", zh="因素"),
        "weight": Words(en="weight", zh="权重"),
        "raises": Words(en="speaks for a win", zh="有利"),
        "lowers": Words(en="speaks against it", zh="不利"),
        "changed": Words(en="Since the month before: {told}.", zh="与上月相比：{told}。"),
        "changed_not": Words(
            en="Since the month before nothing has risen or fallen much.", zh="与上月相比没有明显变化。"
        ),
        "rose": Words(en="{names} counts for more", zh="{names} 的影响变大"),
        "fell": Words(en="{names} counts for less", zh="{names} 的影响变小"),
        "same_model": Words(en="The model is the same, the leads are others.", zh="模型相同，变化来自线索。"),
        "new_model": Words(en="A new model has come in between.", zh="其间启用了新模型。"),
        "disagreed": Words(en="Model or rules: who was right", zh="模型与规则：谁对"),
        "disagreed_how": Words(
            en="Leads that one of the two would have put among the {capacity} to call and the other not, on {lists} "
            "matured lists.",
            zh="在 {lists} 张已成熟的名单上，仅一方会放进 {capacity} 条待联系线索的那些线索。",
        ),
        "only": Words(en="called only by", zh="仅由其选中"),
        "model": Words(en="the model", zh="模型"),
        "rules": Words(en="the rules", zh="规则"),
        "leads": Words(en="leads", zh="线索"),
        "won": Words(en="won", zh="赢单"),
        "range": Words(en="range by chance (95 %)", zh="偶然范围（95 %）"),
        "gap": Words(
            en="Difference: {gap} percentage points ({low} to {high}).", zh="相差 {gap} 个百分点（{low} 至 {high}）。"
        ),
        "this_list": Words(
            en="On this month's list they disagree on {model} leads that only the model would call and {rules} that "
            "only the rules would; how these end is not known yet.",
            zh="本月名单上，仅模型选中 {model} 条，仅规则选中 {rules} 条；结果尚未可知。",
        ),
        "worked": Words(en="Hot leads worked in time", zh="热线索及时跟进"),
        "worked_told": Words(
            en="{in_time} of {hot} leads with a time limit were answered within it ({share}), {late} later, {never} "
            "not at all so far.",
            zh="{hot} 条有时限的线索中，{in_time} 条在时限内跟进（{share}），{late} 条超时，{never} 条尚未跟进。",
        ),
        "worked_median": Words(
            en="Of those that were answered half were within {median}.", zh="已跟进的线索中半数在 {median} 内。"
        ),
        "worked_before": Words(en="The month before it was {share} of {hot}.", zh="上月为 {hot} 条中的 {share}。"),
        "minutes": Words(en="{value} minutes", zh="{value} 分钟"),
        "hours": Words(en="{value} hours", zh="{value} 小时"),
        "days": Words(en="{value} days", zh="{value} 天"),
    }
)

RIGHT: Mapping[str, Words] = MappingProxyType(
    {
        "model": Words(en="Where they disagreed the model was right more often.", zh="在分歧之处，模型更常正确。"),
        "rules": Words(en="Where they disagreed the rules were right more often.", zh="在分歧之处，规则更常正确。"),
        "neither": Words(
            en="Where they disagreed neither was right more often, as far as can be told.",
            zh="在分歧之处，就现有数据看双方不分高下。",
        ),
        "few": Words(en="There are too few such leads to say who was right.", zh="此类线索太少，无法判断谁对。"),
    }
)
