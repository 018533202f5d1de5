"""The words people read for features and event types, in English and Chinese."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVENT_TYPES", "LANGUAGES", "EventType", "Language", "Words", "spaced"]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


class Words(BaseModel):
    """One text in the languages of the product.

    Examples
    --------
    >>> Words(en="source", zh="来源").in_language("zh")
    '来源'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    en: str
    zh: str

    def in_language(self, language: Language) -> str:
        """Return the text in that language."""
        return self.zh if language == "zh" else self.en


class EventType(NamedTuple):
    """A kind of engagement that clew has words for; any other type works too, under its own name.

    `label` names many of them, `one` a single one, `phrase` tells how many there were. `intent` marks
    what people do who think of buying, `inbound` what asks the company for something.
    """

    stem: str
    group: str
    label: Words
    phrase: Words
    one: Words
    intent: bool = False
    inbound: bool = False


def _type(
    stem: str,
    group: str,
    en: str,
    zh: str,
    *,
    one: str,
    phrase: tuple[str, str],
    intent: bool = False,
    inbound: bool = False,
) -> EventType:
    told = Words(en=phrase[0], zh=phrase[1])
    return EventType(stem, group, Words(en=en, zh=zh), told, Words(en=one, zh=zh), intent, inbound)


EVENT_TYPES: Mapping[str, EventType] = MappingProxyType(
    {
        "page_view": _type(
            "page_views",
            "page_views",
            "pages viewed",
            "浏览页面",
            one="page view",
            phrase=("{n} pages viewed", "浏览 {n} 个页面"),
        ),
        "content_view": _type(
            "content_views",
            "content_views",
            "articles read",
            "阅读内容",
            one="article read",
            phrase=("{n} articles read", "阅读 {n} 篇内容"),
        ),
        "price_page_view": _type(
            "price_page_views",
            "price_page",
            "price page visits",
            "访问价格页",
            one="price page visit",
            phrase=("price page visited {n} times", "访问价格页 {n} 次"),
            intent=True,
        ),
        "whitepaper_download": _type(
            "whitepaper_downloads",
            "whitepapers",
            "white papers downloaded",
            "下载白皮书",
            one="white paper download",
            phrase=("{n} white papers downloaded", "下载 {n} 份白皮书"),
        ),
        "webinar_attended": _type(
            "webinars_attended",
            "webinars",
            "webinars attended",
            "参加网络研讨会",
            one="webinar attended",
            phrase=("{n} webinars attended", "参加 {n} 场网络研讨会"),
        ),
        "email_open": _type(
            "email_opens",
            "emails",
            "e-mails opened",
            "打开邮件",
            one="e-mail opened",
            phrase=("{n} e-mails opened", "打开 {n} 封邮件"),
        ),
        "email_click": _type(
            "email_clicks",
            "emails",
            "links in e-mails clicked",
            "点击邮件链接",
            one="click on a link in an e-mail",
            phrase=("{n} links in e-mails clicked", "点击邮件链接 {n} 次"),
        ),
        "form_submit": _type(
            "form_submits",
            "forms",
            "forms sent",
            "提交表单",
            one="form sent",
            phrase=("{n} forms sent", "提交 {n} 次表单"),
            inbound=True,
        ),
        "demo_request": _type(
            "demo_requests",
            "demo_requests",
            "demo requests",
            "申请演示",
            one="demo request",
            phrase=("{n} demos requested", "申请演示 {n} 次"),
            intent=True,
            inbound=True,
        ),
        "trial_start": _type(
            "trial_starts",
            "trials",
            "trials started",
            "开始试用",
            one="trial started",
            phrase=("{n} trials started", "开始试用 {n} 次"),
            intent=True,
            inbound=True,
        ),
    }
)


def spaced(name: str) -> str:
    """Turn a technical name into words.

    Examples
    --------
    >>> spaced("A_PREACCEPTED:COMPLETE")
    'a preaccepted: complete'
    """
    return name.replace("_", " ").replace(":", ": ").strip().lower()
