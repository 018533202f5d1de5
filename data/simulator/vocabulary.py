"""The words of the simulated world and what they mean for buying: industries, sources, titles, names, places.

Every person and company put together from these lists is made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BUDGETS",
    "COUNTRIES",
    "EN",
    "ERPS",
    "INDUSTRIES",
    "LEVELS",
    "MARKETS",
    "SOURCES",
    "TARGETS",
    "TITLES",
    "ZH",
    "Country",
    "Fit",
    "Source",
]

MARKETS = ("en", "zh")
EN, ZH = range(2)
TARGETS = ("manufacturing", "medical devices", "software")


class Fit(NamedTuple):
    """A category, how often it occurs and what it adds to the fit (log-rate scale)."""

    name: str
    share: float
    fit: float


@dataclass(frozen=True)
class Source:
    """A lead source: shares in both markets, growth of its share and trend of its quality a month, fit, warmth.

    `warm` is the logit by which its leads are more often evaluating already when they are created; `tracked` the
    part of the usual visits before creation that is seen; `media` the values of the export's column Medium.
    """

    name: str
    share_en: float
    share_zh: float
    growth: float
    trend: float
    fit: float
    warm: float
    tracked: float
    media: tuple[str, ...]


@dataclass(frozen=True)
class Country:
    """A country: market, share inside it, hours ahead of UTC, currency and its value in USD, cities, regions."""

    code: str
    market: int
    share: float
    offset: int
    currency: str
    usd: float
    regions: tuple[str, ...]


INDUSTRIES = (
    Fit("manufacturing", 0.24, 0.35),
    Fit("software", 0.14, 0.15),
    Fit("medical devices", 0.10, 0.5),
    Fit("logistics", 0.10, 0.3),
    Fit("retail", 0.12, -0.2),
    Fit("finance", 0.09, 0.0),
    Fit("energy", 0.06, 0.05),
    Fit("education", 0.08, -0.6),
    Fit("public sector", 0.07, -0.5),
)

SOURCES = (
    Source("webinar", 0.14, 0.12, 0.012, 0.008, 0.15, 0.0, 1.3, ("event",)),
    Source("paid_search", 0.20, 0.22, 0.006, -0.02, -0.15, 0.1, 1.0, ("cpc",)),
    Source("organic", 0.20, 0.16, 0.0, 0.0, 0.1, 0.15, 1.2, ("search", "direct")),
    Source("trade_show", 0.10, 0.18, -0.02, -0.008, 0.0, -0.3, 0.25, ("event", "offline")),
    Source("referral", 0.09, 0.10, 0.0, 0.0, 0.6, 0.5, 0.7, ("customer", "employee")),
    Source("outbound", 0.11, 0.10, -0.01, 0.0, -0.4, -0.8, 0.15, ("phone", "email")),
    Source("partner", 0.08, 0.06, 0.01, 0.012, 0.4, 0.3, 0.5, ("reseller",)),
    Source("paid_social", 0.08, 0.06, 0.03, -0.01, -0.5, -0.4, 0.8, ("social",)),
)

COUNTRIES = (
    Country("US", EN, 0.48, -6, "USD", 1.0, ("California", "Texas", "Ohio", "New York", "Illinois")),
    Country("GB", EN, 0.20, 0, "GBP", 1.28, ("Greater London", "West Midlands", "Scotland")),
    Country("DE", EN, 0.16, 1, "EUR", 1.09, ("Bayern", "Hessen", "Nordrhein-Westfalen")),
    Country("AU", EN, 0.08, 10, "AUD", 0.66, ("New South Wales", "Victoria")),
    Country("SG", EN, 0.08, 8, "SGD", 0.75, ("Singapore",)),
    Country("CN", ZH, 1.00, 8, "CNY", 0.14, ("上海", "江苏", "浙江", "广东", "北京", "四川", "山东")),
)

LEVELS = (
    Fit("c_level", 0.09, 0.45),
    Fit("vp", 0.13, 0.6),
    Fit("director", 0.18, 0.4),
    Fit("manager", 0.27, 0.1),
    Fit("staff", 0.25, -0.35),
    Fit("intern", 0.08, -1.6),
)

ERPS = (
    Fit("sap", 0.22, 0.15),
    Fit("oracle", 0.14, 0.0),
    Fit("kingdee", 0.18, 0.15),
    Fit("yonyou", 0.14, -0.05),
    Fit("dynamics", 0.12, 0.2),
    Fit("none", 0.20, -0.35),
)
BUDGETS = (Fit("<50k", 0.45, -0.3), Fit("50k-250k", 0.35, 0.1), Fit("250k+", 0.20, 0.45))

# In the order of MARKETS and LEVELS; written as people write them, not as a database would.
TITLES: Mapping[int, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        EN: (
            ("CEO", "Chief Operating Officer", "CTO", "Managing Director", "Founder & CEO", "President", "CIO"),
            ("VP Operations", "VP, Supply Chain", "Vice President Engineering", "SVP Sales", "V.P. Procurement"),
            ("Director of Purchasing", "IT Director", "Head of IT", "Director, Quality", "Head of Operations"),
            ("Purchasing Manager", "Plant Manager", "IT Manager", "Project Manager", "Regulatory Affairs Manager"),
            ("Buyer", "Process Engineer", "Analyst", "IT Specialist", "Production Planner", "Consultant"),
            ("Intern", "Student", "Working Student", "Marketing Intern", "Trainee"),
        ),
        ZH: (
            ("总经理", "首席执行官", "董事长", "创始人", "CEO", "总裁", "首席技术官"),
            ("技术副总裁", "副总裁", "副总经理", "运营副总裁", "常务副总"),
            ("采购总监", "IT总监", "供应链总监", "研发总监", "信息总监"),
            ("采购经理", "生产经理", "项目经理", "IT经理", "设备部经理", "质量经理"),
            ("采购专员", "工程师", "采购员", "信息化专员", "技术员", "文员"),
            ("实习生", "学生", "市场部实习生", "在读研究生"),
        ),
    }
)
