"""Every word of the pages, in English and Chinese; what features, reasons and decisions say comes from their own."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from features.words import EVENT_TYPES, Words, spaced
from serving.pages.dashboard_words import DASHBOARD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.words import Language

__all__ = ["WORDS", "event_words", "say"]

_TEXTS: dict[str, tuple[str, str]] = {
    # every page
    "skip": ("Skip to the content", "跳到正文"),
    "product": ("clew", "clew 线索"),
    "other_language": ("中文", "English"),
    "switch_language": ("中文：switch to Chinese", "English：切换到英文"),
    "sign_out": ("Sign out", "退出"),
    "all_leads": ("All leads", "全部线索"),
    "as_of": ("as of {when}", "截至 {when}"),
    # signing in
    "sign_in": ("Sign in", "登录"),
    "sign_in_how": (
        (
            "Paste the API key that your administrator gave you. It is checked and not kept; the session ends after "
            "{hours} hours, or as soon as the key does."
        ),
        "请粘贴管理员给您的 API 密钥。密钥只用于核对，不会保存；会话在 {hours} 小时后或密钥失效时结束。",
    ),
    "api_key": ("API key", "API 密钥"),
    "key_wrong": (
        "This key is unknown, has expired or was revoked. Check that it was copied whole.",
        "密钥不存在、已过期或已被撤销。请检查是否完整复制。",
    ),
    "key_no_read": (
        "This key may not read leads. Ask for one with the scope read.",
        "该密钥无权查看线索。请申请带有 read 权限的密钥。",
    ),
    "needs_https": (
        "Signing in from another machine needs https, so that nobody on the way reads the key.",
        "从其他机器登录需要 https，以免密钥在途中被人读取。",
    ),
    # errors
    "error_404": ("There is no such lead, or it is not yours to see.", "没有这条线索，或您无权查看。"),
    "error_400": ("This address or form cannot be read.", "无法识别该地址或表单。"),
    "error_403": (
        "This form is no longer valid. Go back, reload the page and send it again.",
        "该表单已失效。请返回并刷新页面后重新提交。",
    ),
    "no_store": (
        "There are no leads yet: run `clew init`, then send some (PUT /v1/leads) or run `clew sync`.",
        "暂无线索：请先运行 `clew init`，再写入线索（PUT /v1/leads）或运行 `clew sync`。",
    ),
    "old_store": (
        "The store was made by another version of clew: run `clew init` with this one.",
        "数据库由其他版本的 clew 创建：请用当前版本运行 `clew init`。",
    ),
    "error_503": ("The leads cannot be read right now. Try again in a moment.", "暂时无法读取线索，请稍后重试。"),
    "error_other": ("Something went wrong here. Nothing was lost.", "出现问题，数据没有丢失。"),
    "request_id": ("Number of this request: {id}", "请求编号：{id}"),
    "back_to_list": ("Back to the list", "返回列表"),
    # the list
    "today": ("Whom to call today", "今天联系谁"),
    "today_zero": ("No open lead fits.", "没有符合条件的在跟线索。"),
    "today_zero_how": (
        "Leads are listed as soon as they have been scored. Take away a filter, or look again in a minute.",
        "线索在评分后出现在列表中。请减少筛选条件，或稍后再看。",
    ),
    "count": ("{n} open leads, the most promising first", "{n} 条在跟线索，最有希望的在前"),
    "count_one": ("1 open lead", "1 条在跟线索"),
    "capacity": ("Time for how many calls?", "今天能打多少电话？"),
    "capacity_show": ("Work it out", "计算"),
    "capacity_told": (
        "{calls} calls → expect {wins}, {low} to {high}",
        "{calls} 个电话 → 预计成交 {wins}，{low} 到 {high}",
    ),
    "capacity_wins_one": ("1 win", "1 单"),
    "capacity_wins": ("{n} wins", "{n} 单"),
    "capacity_how": (
        "within {days} days; nine of ten months lie in this range. The last of these calls has a chance of {last}.",
        "{days} 天内；十个月中有九个月落在此范围内。其中最后一个电话的概率为 {last}。",
    ),
    "capacity_assumed": (
        "How far months stray is assumed, as there is too little history to learn it.",
        "历史数据不足，月度波动按常见情况假定。",
    ),
    "capacity_none": (
        "No model has scored these leads, so no wins are promised.",
        "这些线索没有模型评分，因此不作成交预期。",
    ),
    "filters": ("Filters", "筛选"),
    "filters_on": ("Filters ({n})", "筛选（{n}）"),
    "search": ("Search", "搜索"),
    "search_hint": ("id, company, name or e-mail", "编号、公司、姓名或邮箱"),
    "any": ("any", "不限"),
    "grade": ("Grade", "等级"),
    "pool": ("Pool", "线索池"),
    "source": ("Source", "来源"),
    "industry": ("Industry", "行业"),
    "owner_id": ("Owner", "负责人"),
    "because": ("Rules and model", "规则与模型"),
    "age": ("Age", "时长"),
    "age_0-7": ("up to 7 days", "7 天以内"),
    "age_8-30": ("8 to 30 days", "8 至 30 天"),
    "age_31-90": ("31 to 90 days", "31 至 90 天"),
    "age_91-": ("more than 90 days", "90 天以上"),
    "apply": ("Show", "显示"),
    "clear": ("Clear all", "全部清除"),
    "views": ("Saved views", "已存视图"),
    "view_name": ("Save these filters as", "将当前筛选存为"),
    "view_save": ("Save view", "保存视图"),
    "view_delete": ("Delete the view {name}", "删除视图 {name}"),
    "export": ("Export as CSV", "导出 CSV"),
    "next_page": ("Next {n} leads", "后 {n} 条"),
    "first_page": ("Back to the first", "回到开头"),
    "rank": ("No.", "序号"),
    "lead": ("Lead", "线索"),
    "chance": ("Chance", "概率"),
    "points": ("Points", "积分"),
    "points_n": ("{n} points", "{n} 分"),
    "respond": ("Answer by", "最晚联系"),
    "why": ("Strongest reasons", "最主要的理由"),
    "nobody": ("nobody yet", "未分配"),
    "unknown": ("unknown", "未知"),
    "days": ("{n} days", "{n} 天"),
    "days_none": ("under a day", "不到一天"),
    "days_one": ("1 day", "1 天"),
    "today_new": ("today", "今天"),
    "late": ("late", "已超时"),
    "speaks_for": ("speaks for it", "有利"),
    "speaks_against": ("speaks against it", "不利"),
    "agree_both_high": ("both high", "都看好"),
    "agree_both_low": ("both low", "都不看好"),
    "agree_model_higher": ("model higher", "模型更看好"),
    "agree_rules_higher": ("rules higher", "规则更看好"),
    "agree_rules_only": ("rules only", "仅规则"),
    "agree_holdout": ("drawn by lot", "抽签"),
    # one lead: the head
    "never_scored": (
        "This lead has not been scored yet. A changed lead is scored within seconds while the service runs.",
        "该线索尚未评分。服务运行时，变更后的线索会在几秒内评分。",
    ),
    "ended_won": ("Won on {when}. The score below is the last one it had.", "已于 {when} 成交。下方为最后一次评分。"),
    "ended_lost": ("Lost on {when}. The score below is the last one it had.", "已于 {when} 丢单。下方为最后一次评分。"),
    "in_hundred": (
        "Of 100 leads like this one about {n} are won within {days} days.",
        "每 100 条类似线索中，约有 {n} 条会在 {days} 天内成交。",
    ),
    "in_hundred_low": (
        "Fewer than 1 in 100 leads like this one is won within {days} days.",
        "每 100 条类似线索中，{days} 天内成交的不到 1 条。",
    ),
    "range": ("Months differ: it may be {low} to {high}.", "各月有差异：可能为 {low} 至 {high}。"),
    "range_none": ("How far months stray is not known yet.", "月度波动尚不清楚。"),
    "grade_record": (
        "Grade {grade}: of {judged} earlier leads {won} were won, {rate} ({low} to {high}).",
        "等级 {grade}：此前 {judged} 条线索中成交 {won} 条，即 {rate}（{low} 至 {high}）。",
    ),
    "grade_unproved": ("Grade {grade}: no earlier leads to judge it by.", "等级 {grade}：尚无可供检验的历史线索。"),
    "pool_told": ("Pool {pool}", "线索池 {pool}"),
    "rules_answered": ("No model answered; the rules gave {n} points.", "没有模型作答，规则给出 {n} 分。"),
    # one lead: reasons
    "reasons": ("Why this chance", "为何是这个概率"),
    "reasons_how": (
        (
            "Each row moves the chance from the one above it; bars are as long as what the row adds, and together they "
            "make exactly {chance}. The figures are log-odds."
        ),
        "每一行都在上一行的基础上改变概率；条形长度即该行的贡献，合计正好为 {chance}。数字为对数几率。",
    ),
    "reasons_sum": ("{sum} = {logit} log-odds = {chance}", "{sum} = 对数几率 {logit} = {chance}"),
    "reason": ("Reason", "理由"),
    "adds": ("Adds", "贡献"),
    "then": ("Chance then", "此后概率"),
    "step_base": ("A usual lead", "一般线索"),
    "step_rest": ("Everything else", "其余因素"),
    "step_written": ("Base and everything else", "基准与其余因素"),
    "step_end": ("This lead", "这条线索"),
    "evidence": ("Evidence", "依据"),
    "events_behind": ("events behind it", "相关活动"),
    "bundle_gone": (
        "The model of this score is gone, so what it starts from cannot be told apart from everything else.",
        "该评分所用的模型已不存在，无法将起点与其余因素分开。",
    ),
    "evidence_one": ("{what} on {day}", "{what}：{day}"),
    "evidence_many": ("{what} × {n}, the last on {day}", "{what} {n} 次，最近 {day}"),
    "evidence_within": ("within {days} days: {what}", "{days} 天内：{what}"),
    "evidence_more": ("{n} more", "另有 {n} 项"),
    "bar_for": ("adds {amount}", "增加 {amount}"),
    # one lead: the rules
    "rules": ("What the rules say", "规则怎么看"),
    "rules_points": ("{n} points, pool {pool}", "{n} 分，线索池 {pool}"),
    "rules_none": ("No rule gave points.", "没有规则得分。"),
    "rule": ("Rule", "规则"),
    # one lead: what changed
    "changed_visit": ("What changed since your last visit", "自上次查看以来的变化"),
    "changed_week": ("What changed in the last week", "最近一周的变化"),
    "changed_from": ("From {before} to {now}", "从 {before} 到 {now}"),
    "changed_nothing": ("Nothing has changed since {when}.", "自 {when} 以来没有变化。"),
    "changed_first": ("This is the first score of the lead.", "这是该线索的第一次评分。"),
    "cause": ("Cause", "原因"),
    "facts_one": ("1 fact", "1 项事实"),
    "facts_n": ("{n} facts", "{n} 项事实"),
    # one lead: the timeline
    "timeline": ("Engagement and chance over time", "互动与概率的变化"),
    "timeline_title": ("Chance and events from {start} to {end}", "{start} 至 {end} 的概率与活动"),
    "timeline_desc": (
        "{scores} scores between {low} and {high}; {events} events. The tables below hold the same.",
        "{scores} 次评分，概率在 {low} 与 {high} 之间；{events} 项活动。下方表格内容相同。",
    ),
    "legend_own": ("this person", "本人"),
    "legend_company": ("somebody else at the company", "同公司其他人"),
    "legend_sales": ("sales", "销售"),
    "legend_score": ("chance", "概率"),
    "events": ("What happened", "发生了什么"),
    "events_for": ("What happened behind “{reason}”", "“{reason}”背后的活动"),
    "events_all": ("Show everything", "显示全部"),
    "events_none": ("Nothing is known to have happened.", "没有已知的活动。"),
    "events_more": ("{n} older ones are not shown.", "另有 {n} 项较早的未显示。"),
    "when": ("When", "时间"),
    "what": ("What", "内容"),
    "who": ("Who", "谁"),
    "scores_table": ("All scores", "全部评分"),
    # one lead: similar ones and gaps
    "similar": ("How similar leads ended", "类似线索的结局"),
    "similar_told": (
        "Of the {looked} most similar of {known} past leads {won} were won.",
        "在 {known} 条历史线索中最相似的 {looked} 条里，成交 {won} 条。",
    ),
    "similar_few": (
        "Too few leads have ended with a score so far ({known}); from {least} on similar ones are shown.",
        "目前有评分且已结束的线索太少（{known} 条）；达到 {least} 条后显示类似线索。",
    ),
    "similar_how": (
        "Similar are leads for which the model gives similar reasons. They stay anonymous.",
        "类似指模型给出的理由相近。这些线索均为匿名。",
    ),
    "ended": ("Ended", "结局"),
    "won": ("won", "成交"),
    "lost": ("lost", "丢单"),
    "chance_then": ("Chance then", "当时概率"),
    "took": ("Took", "历时"),
    "gaps": ("What is missing", "缺少的信息"),
    "gap": (
        "{field} is missing: completing it would tell more. It usually moves the odds by a factor of {factor}.",
        "缺少{field}：补全后可判断得更准。它通常使胜率变化 {factor} 倍。",
    ),
    "gap_email": ("The e-mail address is missing.", "缺少邮箱。"),
    "gap_phone": ("The phone number is missing.", "缺少电话。"),
    "gaps_none": ("Nothing that the model reads is missing.", "模型所需的信息齐全。"),
    # one lead: the person and feedback
    "about": ("About this lead", "线索信息"),
    "name": ("Name", "姓名"),
    "email": ("E-mail", "邮箱"),
    "phone": ("Phone", "电话"),
    "company": ("Company", "公司"),
    "employees": ("Employees", "员工数"),
    "country": ("Country", "国家/地区"),
    "job_title": ("Job title", "职位"),
    "created": ("Since", "创建于"),
    "status": ("Status", "状态"),
    "feedback": ("Is this score right?", "这个评分对吗？"),
    "verdict": ("Your opinion", "您的看法"),
    "verdict_good": ("Good: it fits", "好：符合实际"),
    "verdict_bad": ("Bad: the chance is wrong", "不好：概率不对"),
    "verdict_wrong_reason": ("Wrong reason: something named here is not so", "理由有误：这里说的与事实不符"),
    "verdict_too_high": ("Too high", "偏高"),
    "verdict_about_right": ("About right", "基本正确"),
    "verdict_too_low": ("Too low", "偏低"),
    "note": ("Note (optional)", "备注（可选）"),
    "note_hint": ("what you know that the score does not", "您知道而评分不知道的情况"),
    "send": ("Send", "提交"),
    "feedback_kept": ("Thank you, it is kept and will be in the export.", "谢谢，已保存，并会出现在导出中。"),
    "feedback_before": ("Said before", "此前的反馈"),
}

WORDS: Mapping[str, Words] = MappingProxyType(
    {key: Words(en=en, zh=zh) for key, (en, zh) in {**_TEXTS, **DASHBOARD}.items()}
)


def say(key: str, language: Language, **values: object) -> str:
    """Return a text of the pages with its values filled in.

    Raises
    ------
    KeyError
        If there is no such text, or a value of it is missing.

    Examples
    --------
    >>> say("days", "en", n=3), say("days", "zh", n=3)
    ('3 days', '3 天')
    """
    text = WORDS[key].in_language(language)
    return text.format(**values) if values else text


def event_words(kind: str, language: Language) -> str:
    """Return what one event of a type, or an action of sales, is called.

    Examples
    --------
    >>> event_words("whitepaper_download", "zh"), event_words("trade_fair", "en")
    ('下载白皮书', 'trade fair')
    """
    known = EVENT_TYPES.get(kind)
    return spaced(kind) if known is None else known.one.in_language(language)
