"""The words of the dashboard, in English and Chinese; what findings and baselines say comes from their own."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DASHBOARD"]

_TEXTS: dict[str, tuple[str, str]] = {
    "error_role": (
        "These figures are of the whole team: ask for a key of a manager or an administrator.",
        "这些数据涉及整个团队：请申请经理或管理员的密钥。",
    ),
    "standing": ("How things stand", "运行状况"),
    "standing_as_of": (
        "Figures as of {as_of}, computed {computed} ({zone}).",
        "数据截至 {as_of}，计算于 {computed}（{zone}）。",
    ),
    "standing_how": (
        "They are made by `clew monitor`, best every Monday; nothing on this page is computed when you open it.",
        "由 `clew monitor` 生成，建议每周一运行；打开本页时不做任何计算。",
    ),
    "stale": (
        "These figures are {days} days old and may no longer be true. Run `clew monitor`, best by cron every week.",
        "这些数据已过去 {days} 天，可能不再准确。请运行 `clew monitor`，并用 cron 每周运行一次。",
    ),
    "figures_missing": (
        "There are no figures yet. Run `clew monitor` once; from then on they stand here.",
        "暂无数据。请运行一次 `clew monitor`，之后将显示在这里。",
    ),
    "figures_damaged": (
        "The file with the figures cannot be read. Run `clew monitor` again: it writes the file anew.",
        "数据文件无法读取。请重新运行 `clew monitor`，文件将重新生成。",
    ),
    "figures_version": (
        "The figures were written by another version of clew. Run `clew monitor` of this version.",
        "数据由另一版本的 clew 写成。请用当前提供本页的版本运行 `clew monitor`。",
    ),
    "light_green": ("in order", "正常"),
    "light_amber": ("watch", "留意"),
    "light_red": ("act", "需处理"),
    "light_not_measured": ("not measured", "未测量"),
    "colour_green": ("green", "绿"),
    "colour_amber": ("amber", "黄"),
    "colour_red": ("red", "红"),
    "colour_not_measured": ("not measured", "未测量"),
    "overall_green": ("All that was measured is in order", "已测量的各项均正常"),
    "overall_amber": ("Something is worth watching", "有事项值得留意"),
    "overall_red": ("Something has to be done", "有事项需要处理"),
    "overall_not_measured": ("Nothing could be measured", "各项均未能测量"),
    "by_light_red": ("To act on: {names}.", "需处理：{names}。"),
    "by_light_amber": ("To watch: {names}.", "需留意：{names}。"),
    "by_light_green": ("In order: {names}.", "正常：{names}。"),
    "by_light_not_measured": ("Not measured: {names}.", "未测量：{names}。"),
    "between_names": (", ", "、"),
    "name_promise": ("promises", "承诺"),
    "name_order": ("the order of the list", "排序"),
    "name_data": ("data", "数据"),
    "name_baselines": ("baselines", "基线"),
    "model_needs": ("What the model needs:", "模型所需："),
    "lamp_promise": ("Do scores keep their promise?", "评分是否兑现承诺？"),
    "lamp_order": ("Are the best leads on top?", "好线索是否排在前面？"),
    "lamp_data": ("Do the data look as they did?", "数据是否一如既往？"),
    "lamp_baselines": ("Does the funnel meet its baselines?", "漏斗是否达到基线？"),
    "lamp_promise_told": (
        "{promised} promised, {realised} won of {n} scores",
        "承诺 {promised}，{n} 个评分中赢单 {realised}",
    ),
    "lamp_order_told": (
        "ROC-AUC {value} ({low} to {high}), rules {rules}",
        "ROC-AUC {value}（{low} 至 {high}），规则 {rules}",
    ),
    "lamp_data_told": ("{act} to act on, {watch} to watch", "需处理 {act} 项，留意 {watch} 项"),
    "lamp_data_quiet": ("nothing beyond chance and season", "未超出偶然与季节波动"),
    "lamp_young": ("no score is old enough to tell", "尚无评分成熟"),
    "lamp_young_why": ("no score is old enough to tell; {n} are waiting", "尚无评分成熟，{n} 个仍在等待"),
    "record_none": ("why it is not measured stands below", "未测量的原因见下文"),
    "record_young": (
        "No score is old enough yet to know whether it kept its promise.",
        "尚无评分成熟，还不知道是否兑现承诺。",
    ),
    "chart_title": ("Promised and won by month, {first} to {last}", "各月承诺与赢单，{first} 至 {last}"),
    "legend_promised": ("promised", "承诺"),
    "legend_realised": ("won, with 95 % interval", "赢单及 95 % 区间"),
    "legend_alone": ("A line alone: too young to tell.", "仅有横线：尚未成熟。"),
    "by_grade": ("By month and grade", "按月份与等级"),
    "kept": ("kept", "兑现"),
    "kept_yes": ("yes", "是"),
    "kept_no": ("no", "否"),
    "first_of_month": (
        "Of the first {n} leads of each month's list {model} were won by the model's order, {rules} by the rules'.",
        "每月清单前 {n} 条线索中，按模型排序赢单 {model}，按规则排序赢单 {rules}。",
    ),
    "order_told": (
        (
            "ROC-AUC on {n} scores, with 90 % intervals: model {model} ({low} to {high}), rules {rules} "
            "({rules_low} to {rules_high})."
        ),
        (
            "{n} 个评分的 ROC-AUC 及 90 % 区间：模型 {model}（{low} 至 {high}），"
            "规则 {rules}（{rules_low} 至 {rules_high}）。"
        ),
    ),
    "young_told": ("{wins} ± {spread} wins expected of {n} scores", "{n} 个评分预期赢单 {wins} ± {spread}"),
    "worked_told": (
        "{share} of {n}; {late} later, {never} not at all",
        "{n} 条中 {share}；{late} 条逾期，{never} 条未跟进",
    ),
    "worked_none": ("not measured: no lead has become hot yet", "未测量：尚无热线索"),
    "answers": ("{share} of {n} scores", "{n} 个评分中 {share}"),
    "overall_shift": (
        "All grades: {promised} promised, {realised} won of {n} matured scores.",
        "全部等级：{n} 个已成熟评分承诺 {promised}，赢单 {realised}。",
    ),
    "arrivals": (
        "New leads in {days} days: {now}, usually {usual}.",
        "{days} 天内新增线索 {now} 条，通常 {usual} 条。",
    ),
    "fields_steady": (
        "{n} fields compared: none differs beyond what periods differ by themselves.",
        "共比较 {n} 个字段：均在正常波动之内。",
    ),
    "data_heading": ("Data", "数据"),
    "no_source": ("(no source)", "（无来源）"),
    "to_be_done": ("What to do", "处理办法"),
    "reasons_mix": ("Main reasons of new leads", "新线索的主要理由"),
    "grades_mix": ("Grades of new leads", "新线索的等级"),
    "baselines": ("Baselines, {since} to {until}", "基线，{since} 至 {until}"),
    "baseline": ("baseline", "基线"),
    "value": ("value", "数值"),
    "value_interval": ("value, 90 % interval", "数值、90 % 区间"),
    "threshold": ("threshold", "阈值"),
    "light": ("light", "状态"),
    "trend": ("six months", "六个月"),
    "trend_better": ("better", "变好"),
    "trend_worse": ("worse", "变差"),
    "trend_steady": ("steady", "持平"),
    "trend_alone": ("no past yet", "尚无历史"),
    "course_title": ("Course: {values}; dashes: threshold", "走势：{values}；虚线：阈值"),
    "answers_for": ("answers for it: {owner}", "负责：{owner}"),
    "missing_no_rows": ("nobody in the period", "期间无数据"),
    "missing_no_such_log": ("the data do not log it", "数据中没有此类记录"),
    "missing_currencies": ("several currencies, no rate", "多币种且无汇率"),
    "missing_not_entered": ("nobody entered it", "未录入"),
    "missing_too_old": ("entered too long ago", "录入值已过期"),
    "funnel": ("Funnel of the month", "本月漏斗"),
    "step": ("step", "阶段"),
    "reached": ("reached", "数量"),
    "of_before": ("of the step before", "转化率"),
    "step_exposure": ("exposure", "曝光"),
    "step_click": ("click", "点击"),
    "step_lead": ("lead", "线索"),
    "step_mql": ("MQL", "MQL"),
    "step_sql": ("SQL", "SQL"),
    "step_opportunity": ("opportunity", "商机"),
    "step_won": ("won", "成交"),
    "step_amount": ("amount", "成交额"),
    "funnel_how": (
        "What passed each step in the month, not the same people at every step.",
        "各阶段为本月通过数量，并非同一批人。",
    ),
    "channels": ("Who brought the wins, {since} to {until}", "赢单归因，{since} 至 {until}"),
    "channels_told": (
        "{wins} wins handed out among the channels that touched them; amounts and ROI by {by}.",
        "共 {wins} 个赢单分配给接触过的渠道；金额与 ROI 按 {by} 计算。",
    ),
    "channel": ("channel", "渠道"),
    "model_first_touch": ("first touch", "首次接触"),
    "model_last_touch": ("last touch", "末次接触"),
    "model_shapley": ("Shapley", "Shapley"),
    "cost": ("cost", "费用"),
    "roi": ("ROI", "ROI"),
    "part_record": ("promises", "评分承诺"),
    "part_drift": ("data", "数据"),
    "part_baselines": ("baselines", "基线"),
    "part_attribution": ("attribution", "归因"),
}

DASHBOARD: Mapping[str, tuple[str, str]] = MappingProxyType(_TEXTS)
