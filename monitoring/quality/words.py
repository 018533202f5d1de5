"""The words of the lead quality report in both languages."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from features.words import Words
from monitoring.quality.losses import NO_REASON
from monitoring.quality.mix import NOT_SCORED, OTHERS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIELD_WORDS", "KEY_WORDS", "NAMES", "TEXTS"]

FIELD_WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "source": Words(en="source", zh="来源"),
        "job_title": Words(en="job title", zh="职位"),
        "country": Words(en="country", zh="国家"),
        "account": Words(en="company", zh="公司"),
        "industry": Words(en="industry", zh="行业"),
        "employees": Words(en="employees", zh="员工人数"),
        "owner": Words(en="owner", zh="负责人"),
        "email": Words(en="usable e-mail", zh="可用邮箱"),
        "phone": Words(en="usable phone", zh="可用电话"),
    }
)

KEY_WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "email": Words(en="same e-mail", zh="邮箱相同"),
        "phone": Words(en="same phone", zh="电话相同"),
        "name": Words(en="same company and name", zh="公司与姓名相同"),
    }
)

# What stands for a value where there is none.
NAMES: Mapping[str, Words] = MappingProxyType(
    {
        UNKNOWN: Words(en="unknown", zh="未知"),
        OTHERS: Words(en="others", zh="其他"),
        NOT_SCORED: Words(en="not scored", zh="未评分"),
        NO_REASON: Words(en="no reason entered", zh="未填写原因"),
    }
)

TEXTS: Mapping[str, Words] = MappingProxyType(
    {
        "title": Words(en="Lead quality", zh="线索质量周报"),
        "card_title": Words(en="clew: lead quality", zh="clew：线索质量周报"),
        "week": Words(en="{since} to {until}, as known then", zh="{since} 至 {until}，以当时所知为准"),
        "was": Words(en="before: {value}", zh="此前 {value}"),
        "new": Words(en="new leads", zh="新增线索"),
        "hot": Words(en="in the best grade", zh="最高等级线索"),
        "complete": Words(en="fields filled, new leads", zh="新增线索字段完整度"),
        "reachable": Words(en="reachable", zh="可联系"),
        "doubles": Words(en="possible duplicates", zh="疑似重复"),
        "lost": Words(en="leads lost", zh="流失线索"),
        "explained": Words(en="{share} with a reason", zh="{share} 填写了原因"),
        "target": Words(en="target {value}", zh="目标 {value}"),
        "not_measured": Words(en="not measured", zh="未测量"),
        "alerts": Words(en="Leads to look at", zh="需要关注的线索"),
        "no_alerts": Words(en="No good lead fell sharply or stands still.", zh="没有优质线索出现评分骤降或停滞。"),
        "fallen": Words(en="Fell sharply within the week", zh="本周评分骤降"),
        "fallen_none": Words(en="None of {count} comparable leads.", zh="{count} 条可比线索中没有。"),
        "still": Words(en="Good leads that stand still", zh="停滞的优质线索"),
        "still_none": Words(en="None of {count} in the best grade.", zh="最高等级的 {count} 条线索中没有。"),
        "still_learnt": Words(
            en="Quiet for more than {days} days, as half of the {wins} leads won within a year never were.",
            zh="静默超过 {days} 天；过去一年赢单的 {wins} 条线索中，有一半从未静默这么久。",
        ),
        "still_set": Words(en="Quiet for more than {days} days.", zh="静默超过 {days} 天。"),
        "fallen_why": Words(
            en="Leads of the best two grades that fell by {grades} grades, or by three times the noise of the week.",
            zh="原属前两个等级，下降 {grades} 个等级，或降幅超过本周波动的三倍。",
        ),
        "more": Words(en="and {count} more (--json lists all)", zh="另有 {count} 条（--json 列出全部）"),
        "card_fallen": Words(
            en="good leads that fell sharply: {count}, and with them {wins} expected wins ({ids})",
            zh="{count} 条优质线索评分骤降，预期赢单减少 {wins}：{ids}",
        ),
        "card_still": Words(
            en="leads of the best grade that were quiet for more than {days} days: {count} of {high} ({ids})",
            zh="最高等级 {high} 条线索中有 {count} 条静默超过 {days} 天：{ids}",
        ),
        "card_gap": Words(
            en="{field} is filled in {share} of the new leads of one source, in {usual} of all",
            zh="某一来源的新增线索中，{field}填写率为 {share}，整体为 {usual}",
        ),
        "card_reason": Words(
            en="one reason has {share} of the losses, {usual} in the weeks before",
            zh="某一流失原因占比 {share}，此前为 {usual}",
        ),
        "lead": Words(en="lead", zh="线索"),
        "grade": Words(en="grade", zh="等级"),
        "chance": Words(en="win probability", zh="赢单概率"),
        "days": Words(en="days quiet", zh="静默天数"),
        "mix": Words(en="Who is open and who is new", zh="在手与新增线索分布"),
        "mix_open": Words(en="open leads", zh="在手线索"),
        "by_grade": Words(en="by grade", zh="按等级"),
        "by_source": Words(en="by source", zh="按来源"),
        "by_industry": Words(en="by industry", zh="按行业"),
        "bars": Words(
            en="Bar: open at the end of the week, people counted once. Line: a week earlier. In brackets: new records.",
            zh="色条：周末在手线索（每人计一次）；竖线：一周前；括号内：新增记录。",
        ),
        "filled": Words(en="What is filled in", zh="字段完整度"),
        "filled_new": Words(en="new", zh="新增"),
        "filled_open": Words(en="open", zh="在手"),
        "filled_before": Words(en="a week earlier", zh="一周前"),
        "field": Words(en="field", zh="字段"),
        "filled_why": Words(
            en="Sources with at least ten new leads; these are shares of their new leads.",
            zh="仅列出新增线索不少于十条的来源；数值为其新增线索的填写率。",
        ),
        "reach": Words(en="Who can be reached", zh="可联系性"),
        "both": Words(en="e-mail and phone", zh="邮箱与电话"),
        "email_only": Words(en="e-mail only", zh="仅邮箱"),
        "phone_only": Words(en="phone only", zh="仅电话"),
        "neither": Words(en="neither", zh="均不可用"),
        "unknown_contacts": Words(en="contact data not kept", zh="联系方式未保留"),
        "bounced": Words(en="address came back", zh="邮件退回"),
        "opted_out": Words(en="opted out", zh="已退订"),
        "duplicates": Words(en="Duplicates", zh="重复线索"),
        "key": Words(en="what is the same", zh="相同之处"),
        "records": Words(en="records", zh="记录数"),
        "joined": Words(en="already counted once", zh="已合并计数"),
        "candidates": Words(en="to be checked", zh="待核对"),
        "new_doubles": Words(
            en="Of {new} new records {joined} belong to a person known already, {candidates} more may.",
            zh="{new} 条新增记录中，{joined} 条属于已有联系人，另有 {candidates} 条疑似。",
        ),
        "losses": Words(en="Why leads were lost", zh="流失原因"),
        "trend_why": Words(
            en="Before: the share over the {count} weeks before. Trend: leads a week, the last bar is this week.",
            zh="此前：之前 {count} 周的占比。走势：每周线索数，最后一条为本周。",
        ),
        "reason": Words(en="reason", zh="原因"),
        "count": Words(en="leads", zh="线索数"),
        "share": Words(en="share", zh="占比"),
        "usual": Words(en="before", zh="此前"),
        "trend": Words(en="trend", zh="走势"),
        "cost": Words(en="expected wins", zh="预期赢单"),
        "rejected": Words(en="sent back by sales", zh="销售退回"),
        "no_losses": Words(en="No lead was lost within the week.", zh="本周没有流失线索。"),
        "cost_why": Words(
            en="Expected wins by each lead's last score before the loss, known of {count}; a duplicate costs none.",
            zh="预期赢单按流失前最后一次评分计算，{count} 条有评分；重复线索不计代价。",
        ),
        "unmeasured": Words(en="Not measured", zh="未测量"),
        "limits": Words(
            en="Green: the whole 95 % interval keeps the target; red: none of it does. Arrows: changes beyond chance.",
            zh="绿色：95 % 区间全部达标；红色：全部未达标。箭头表示超出偶然波动的变化。",
        ),
    }
)
