"""Names, titles, addresses and numbers of people and companies that do not exist, spelt as carelessly as real ones.

Companies live in domains reserved for examples; addresses at free mail providers carry a `sim` and a number;
telephone numbers use prefixes that no operator assigns.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from data.simulator.arrays import Bools, Texts, words
from data.simulator.vocabulary import COUNTRIES, EN, INDUSTRIES, TITLES, ZH

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from data.simulator.population import Accounts, People
    from data.simulator.records import Records

__all__ = ["company_domains", "company_names", "emails", "names", "phones", "titles"]

_FIRST = {
    EN: "Alice Ben Clara Daniel Emma Felix Grace Henry Irene Jack "
    "Kate Liam Maria Noah Olivia Paul Rosa Simon Tara Victor",
    ZH: "wei fang na min jing li qiang lei jun yang yong yan jie juan tao ming chao xia ping gang",
}
_LAST = {
    EN: "Adler Bishop Calder Dawson Ellery Fenwick Garner Holloway Ingram Jessop Kerrow Lambert Marlow Norwood Osgood "
    "Pember Quill Radcliff Stanmore Thorne Underhill Vance Whitlock Yarrow",
    ZH: "wang li zhang liu chen yang zhao huang zhou wu xu sun hu zhu gao lin he guo ma luo",
}
_HAN_FIRST = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超霞平刚"
_HAN_LAST = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_FREE = {EN: ("gmail.com", "outlook.com", "yahoo.com", "gmx.de"), ZH: ("qq.com", "163.com", "126.com", "foxmail.com")}
_SYLLABLES = ("Kor", "Bel", "Tal", "Ven", "Mor", "Zan", "Lum", "Dra", "Fex", "Quor", "Hal", "Nim")
_ENDINGS = ("vane", "umic", "trix", "ador", "ellis", "onda", "iqua", "esta", "orim", "ayle")
_FORMS = ("GmbH", "Ltd", "Inc.", "Group", "LLC", "Pty Ltd")
_HAN_STEM = ("澜", "钧", "翊", "珑", "湛", "铎", "玥", "垚", "骞", "霁", "昶", "珩")
_HAN_FORMS = ("科技有限公司", "设备有限公司", "股份有限公司", "实业有限公司", "系统有限公司")

# Country to (prefix, digits, format of the whole): numbering ranges without subscribers.
_PHONES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {"US": ("1555", 7), "GB": ("44200", 7), "DE": ("49690", 7), "AU": ("6120", 7), "SG": ("652", 7), "CN": ("8612", 9)}
)
_NATIONAL: Mapping[str, Callable[[str], tuple[str, ...]]] = MappingProxyType(
    {
        "US": lambda d: (
            f"+1 ({d[1:4]}) {d[4:7]}-{d[7:]}",
            f"{d[1:4]}-{d[4:7]}-{d[7:]}",
            f"1.{d[1:4]}.{d[4:7]}.{d[7:]}",
        ),
        "GB": lambda d: (f"+44 20 {d[4:8]} {d[8:]}", f"020 {d[4:8]} {d[8:]}", f"0044 (0)20 {d[4:]}"),
        "DE": lambda d: (f"+49 69 {d[4:]}", f"069/{d[4:]}", f"0049-69-{d[4:]}"),
        "AU": lambda d: (f"+61 2 {d[3:7]} {d[7:]}", f"(02) {d[3:7]} {d[7:]}", f"+612{d[3:]}"),
        "SG": lambda d: (f"+65 {d[2:6]} {d[6:]}", f"{d[2:6]} {d[6:]}", f"+65-{d[2:]}"),
        "CN": lambda d: (f"+86 {d[2:5]} {d[5:9]} {d[9:]}", f"{d[2:5]}-{d[5:9]}-{d[9:]}", d[2:], f"(86){d[2:]}"),
    }
)


def company_names(accounts: Accounts) -> Texts:
    """Return made-up names in the language of each company's market; the number keeps them apart."""
    found = []
    for number, (country, industry) in enumerate(
        zip(accounts.country.tolist(), accounts.industry.tolist(), strict=True)
    ):
        if COUNTRIES[country].market == ZH:
            stem = "".join(_HAN_STEM[number // 12**power % 12] for power in range(4))
            found.append(f"{stem}{_HAN_FORMS[(number + industry) % len(_HAN_FORMS)]}")
        else:
            stem = f"{_SYLLABLES[number % 12]}{_ENDINGS[number // 12 % 10]} {INDUSTRIES[industry].name.title()}"
            found.append(f"{stem} {number // 120 + 1} {_FORMS[number % len(_FORMS)]}")
    return words(found)


def company_domains(accounts: Accounts) -> Texts:
    """Return a domain for each company under the names reserved for examples (RFC 2606)."""
    return words(
        [
            f"{_SYLLABLES[n % 12].lower()}{_ENDINGS[n // 12 % 10]}{n}.{('example', 'test')[n % 5 == 0]}"
            for n in range(len(accounts.country))
        ]
    )


def names(rng: np.random.Generator, people: People, records: Records) -> Texts:
    """Return the name on each record; a duplicate spells it in another way."""
    style = np.where(records.duplicate, rng.integers(0, 5, len(records.person)), 0)
    return words(
        [
            _name(person, int(people.market[person]), how)
            for person, how in zip(records.person, style.tolist(), strict=True)
        ]
    )


def _parts(person: int, market: int) -> tuple[int, int]:
    """Return the positions of a person's first and last name: spread by two primes, so neighbours differ."""
    return person * 7919 % 20, person * 104_729 // 20 % (20 if market == ZH else 24)


def _name(person: int, market: int, how: int) -> str:
    first, last = _parts(person, market)
    given, family = _FIRST[market].split()[first], _LAST[market].split()[last]
    if market == ZH:
        han = _HAN_LAST[last] + _HAN_FIRST[first]
        return (han, f"{family.title()} {given.title()}", f" {han}", f"{given.title()} {family.title()}", han)[how]
    return (
        f"{given} {family}",
        f"{given.upper()} {family.upper()}",
        f"{given[0]}. {family}",
        f"{family}, {given}",
        f"{given}  {family.lower()}",
    )[how]


def titles(rng: np.random.Generator, people: People, records: Records) -> Texts:
    """Return job titles as typed: two languages, abbreviations, stray blanks and regions; None where left empty."""
    person = records.person
    language = np.where(rng.random(len(person)) < 0.92, people.market[person], EN)
    pick, style = rng.integers(0, 1000, len(person)), rng.integers(0, 20, len(person))
    pick = np.where(records.duplicate, pick, people.account[person] + person)
    known = people.title_known[person]
    found: list[str | None] = []
    rows = zip(language.tolist(), people.level[person].tolist(), pick.tolist(), style.tolist(), known, strict=True)
    for market, level, number, how, told in rows:
        choices = TITLES[market][level]
        found.append(_typed(choices[number % len(choices)], how) if told else None)
    return words(found)


def _typed(title: str, how: int) -> str:
    """Return a title as somebody typed it; most type it well."""
    han = not title.isascii()
    variants = (
        title.upper(),
        title.lower(),
        f"{title} ",
        f"{title}（华东区）" if han else f"{title}, EMEA",
        title.replace("经理", " 经理") if han else title.replace("VP", "Vice President").replace("Manager", "Mgr"),
        f"{title}（代理）" if han else f"{title} (acting)",
    )
    return variants[how] if how < len(variants) else title


def emails(rng: np.random.Generator, people: People, records: Records, domains: Texts) -> Texts:
    """Return addresses: company or free, None for some; a duplicate's differs in case or is another one."""
    count = len(people.account)
    free = rng.random(count) < np.where(people.employees < 20, 0.45, 0.14) - 0.04 * people.quality
    missing = rng.random(count) < 0.03
    other = records.duplicate & (rng.random(len(records.person)) < 0.08)
    style = np.where(records.duplicate, rng.integers(0, 4, len(records.person)), 0)
    found: list[str | None] = []
    for person, swap, how in zip(records.person.tolist(), other, style.tolist(), strict=True):
        market = int(people.market[person])
        address = _address(person, market, str(domains[people.account[person]]), free=bool(free[person] ^ swap))
        typed = (address, address.upper(), address.title(), f" {address}")[how]
        found.append(None if missing[person] else typed)
    return words(found)


def _address(person: int, market: int, domain: str, *, free: bool) -> str:
    first, last = _parts(person, market)
    local = f"{_FIRST[market].split()[first]}.{_LAST[market].split()[last]}".lower()
    if free:
        return f"{local}.sim{person:06d}@{_FREE[market][person % len(_FREE[market])]}"
    return f"{local}{person}@{domain}"


def phones(rng: np.random.Generator, people: People, accounts: Accounts, records: Records) -> Texts:
    """Return numbers in national formats, None for some; a duplicate writes the same number in another format."""
    count = len(people.account)
    missing: Bools = rng.random(count) < 0.15
    # A bijection of the seven digits (the factor is prime to 10), so no two people share a number.
    number = (np.arange(count) * 7_368_787 + int(rng.integers(10_000_000))) % 10_000_000
    style = rng.integers(0, 12, len(records.person))
    found: list[str | None] = []
    for person, how in zip(records.person.tolist(), style.tolist(), strict=True):
        code = COUNTRIES[int(accounts.country[people.account[person]])].code
        prefix, digits = _PHONES[code]
        formats = _NATIONAL[code](f"{prefix}{int(number[person]):0{digits}d}")
        found.append(None if missing[person] else formats[how % len(formats)])
    return words(found)
