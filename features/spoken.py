"""What groups of features and known categories are called when people read of them, in English and Chinese."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from features.words import Words, spaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from features.definitions import Catalogue

__all__ = ["GROUP_WORDS", "category_words", "group_words"]

GROUP_WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "source": Words(en="where the lead came from", zh="线索来源"),
        "campaign": Words(en="campaign and keyword", zh="营销活动与关键词"),
        "landing_page": Words(en="landing page", zh="落地页"),
        "country": Words(en="country", zh="国家"),
        "seniority": Words(en="seniority", zh="职级"),
        "contact": Words(en="contact data", zh="联系方式"),
        "industry": Words(en="industry", zh="行业"),
        "region": Words(en="region", zh="地区"),
        "employees": Words(en="size of the company", zh="公司规模"),
        "revenue": Words(en="annual revenue", zh="年营收"),
        "founded": Words(en="age of the company", zh="公司成立年份"),
        "lead_age": Words(en="age of the lead", zh="线索存在时间"),
        "engagement": Words(en="engagement as a whole", zh="整体互动"),
        "high_intent": Words(en="high-intent behaviour", zh="高意向行为"),
        "inbound": Words(en="the lead asked for something", zh="主动咨询"),
        "channel": Words(en="first and last channel", zh="首次与末次渠道"),
        "page_views": Words(en="pages viewed", zh="浏览页面"),
        "content_views": Words(en="articles read", zh="阅读内容"),
        "price_page": Words(en="price page", zh="价格页"),
        "whitepapers": Words(en="white papers", zh="白皮书"),
        "webinars": Words(en="webinars", zh="网络研讨会"),
        "emails": Words(en="e-mails", zh="邮件"),
        "forms": Words(en="forms", zh="表单"),
        "demo_requests": Words(en="demo requests", zh="申请演示"),
        "trials": Words(en="trials", zh="试用"),
        "account_activity": Words(en="others of the same company", zh="同公司其他联系人"),
        "sales_response": Words(en="how soon sales got in touch", zh="销售响应速度"),
    }
)

_CATEGORIES: Mapping[str, Mapping[str, Words]] = MappingProxyType(
    {
        "seniority": {
            "c_level": Words(en="top management", zh="最高管理层"),
            "vp": Words(en="vice president", zh="副总裁级"),
            "director": Words(en="director", zh="总监级"),
            "manager": Words(en="manager", zh="经理级"),
            "staff": Words(en="staff", zh="普通员工"),
            "junior": Words(en="junior", zh="初级"),
        },
        "email_domain_kind": {
            "free": Words(en="free mail service", zh="免费邮箱"),
            "corporate": Words(en="corporate", zh="企业邮箱"),
            "education": Words(en="education", zh="教育机构邮箱"),
            "government": Words(en="government", zh="政府邮箱"),
            "disposable": Words(en="disposable", zh="一次性邮箱"),
            "invalid": Words(en="not valid", zh="无效"),
        },
    }
)
_LONGEST = 40


def group_words(catalogue: Catalogue, group: str) -> Words:
    """Return what a group of features is called: its own words, those of its only feature, else its name.

    Examples
    --------
    >>> from features.catalogue import build_catalogue
    >>> group_words(build_catalogue(event_types=["page_view"]), "page_views").en
    'pages viewed'
    """
    if group in GROUP_WORDS:
        return GROUP_WORDS[group]
    inside = [feature for feature in catalogue.features if feature.group == group]
    if len(inside) == 1:
        return inside[0].label
    plain = " ".join(spaced(group).split())
    return Words(en=plain, zh=plain)


def category_words(feature: str, value: str) -> Words:
    """Return what a category is called; those of the customer's own data keep their names, shortened where long.

    Examples
    --------
    >>> category_words("seniority", "vp").zh, category_words("source", "Trade Show").zh
    ('副总裁级', 'Trade Show')
    """
    known = _CATEGORIES.get(feature, {}).get(value)
    short = value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"
    return known or Words(en=short, zh=short)
