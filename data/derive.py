"""What kind of person stands behind a lead: small pure functions that the import and the endpoint share.

They read a job title, a name, an e-mail address and a phone number and give back kinds, shares and keys, never the
values themselves. The tables cover English and Chinese.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BLANK_CHARACTERS",
    "ContactFacts",
    "EmailKind",
    "Seniority",
    "blank_to_none",
    "contact_completeness",
    "contact_facts",
    "email_domain_kind",
    "person_key",
    "seniority",
]

Seniority = Literal["c_level", "vp", "director", "manager", "staff", "junior"]
EmailKind = Literal["free", "corporate", "education", "government", "disposable", "invalid"]

# White space of Western and Chinese keyboards, plus the invisible characters that spreadsheets leave behind.
BLANK_CHARACTERS = " \t\r\n\v\f\u00a0\u2007\u202f\u3000\u200b\ufeff"

# A title, an address or a number longer than this is an essay or an attack; cutting bounds the work of the patterns.
_LONGEST = 254


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLACEHOLDERS = _words(
    "- -- . / ? n/a na none null nil nan unknown test not_provided [not_provided] 无 暂无 没有 未知 不详 空 测试"
)


def blank_to_none(text: str | None) -> str | None:
    """Return the text without surrounding white space, or None where a person left the field blank in their own way.

    Examples
    --------
    >>> blank_to_none("\u3000Li Wei "), blank_to_none(" N/A "), blank_to_none("暂无")
    ('Li Wei', None, None)
    """
    if text is None:
        return None
    bare = text.strip(BLANK_CHARACTERS)
    return None if not bare or bare[:_LONGEST].casefold().replace(" ", "_") in _PLACEHOLDERS else bare


_CHIEF = r"chief(?: \w+){1,3} officer|\bc(?:[eftomidprsx]|is|hr|da|lo|co|lt)o\b"
# First match wins: the order is the meaning. An assistant to the CEO is decided before the CEO, a vice president
# before the president.
_TITLES: tuple[tuple[Seniority, re.Pattern[str]], ...] = tuple(
    (rank, re.compile(pattern))  # type: ignore[misc]
    for rank, pattern in (
        (
            "staff",
            r"助理$|助理[（(]|秘书|\b(?:assistant|secretary|aide|pa|ea) (?:to|of) |(?:executive|personal) assistant",
        ),
        ("staff", r"\b(?:product|process|system|service|data|risk) owner\b|\blead gen"),
        ("junior", r"实习|见习|应届|学徒|管培|学生|\b(?:intern|interns|internship|trainee|apprentice|student)\b"),
        ("junior", r"\b(?:junior|jr|entry[ -]level|graduate)\b|初级"),
        ("c_level", r"\bvice[ -]chair|副董事长|副主席"),
        ("director", r"\b(?:assistant|associate) vice[ -]president\b|\bavp\b|(?:区域|大区|分公司|事业部|部门)总经理"),
        ("vp", r"\bvice[ -]president\b|\b(?:s|e|se|g|r)?vp\b|\bdeputy (?:general manager|ceo|managing)"),
        ("vp", r"副总(?!监|工)|助理总裁"),
        ("manager", r"(?:总经理|总裁|董事长|ceo|总)办(?:公室)?主任|\boffice of the (?:ceo|president|chair)"),
        ("director", r"\bchief (?:of staff|engineer|architect|accountant|scientist|editor)\b|总工|总会计师|副总监"),
        ("c_level", rf"{_CHIEF}|\bchief executive\b|\bmanaging director\b|\bdirector general\b|\bgeneral manager\b"),
        (
            "c_level",
            r"\b(?:president|chairman|chairwoman|chairperson|owner|proprietor|principal)\b|\b(?:co-?)?founder\b",
        ),
        ("c_level", r"\b(?:managing|senior|founding|general|equity) partner\b|^partner$"),
        ("c_level", r"董事|总经理|总裁|首席|创始人|创办人|合伙人|老板|法人代表|行长|主席"),
        ("manager", r"\bassistant director\b"),
        ("director", r"\bdirector\b|\bhead\b|总监|部长|处长|厂长|院长|局长|校长"),
        ("staff", r"\bassistant manager\b"),
        ("manager", r"\b(?:manager|mgr|supervisor|team leader|lead|foreman|controller|superintendent)\b"),
        ("manager", r"经理|主管|主任|组长|科长|课长|店长|班长|队长|负责人"),
    )
)


def seniority(job_title: str | None) -> Seniority | None:
    """Return the rank that a job title states, from a table of English and Chinese words.

    A title without any word of rank is `staff`; a blank one, or one in a script the table does not cover, is None.

    Examples
    --------
    >>> seniority("VP Ops"), seniority("副总经理"), seniority("Assistant to the CEO"), seniority("实习生")
    ('vp', 'vp', 'staff', 'junior')
    >>> seniority("  ") is None
    True
    """
    bare = blank_to_none(job_title)
    if bare is None:
        return None
    plain = unicodedata.normalize("NFKC", bare[:_LONGEST]).casefold()
    plain = re.sub(r"(?<=\b[a-z])\.(?=[a-z]\b)", "", plain)  # C.E.O. is CEO
    title = re.sub(r"[\s_.,/|&]+", " ", plain).strip()
    for rank, pattern in _TITLES:
        if pattern.search(title):
            return rank
    return "staff" if _covered(title) else None


def _covered(title: str) -> bool:
    """Say whether there are letters and the table can judge them all: unaccented Latin or Chinese."""
    letters = [letter for letter in title if letter.isalpha()]
    return bool(letters) and all(letter.isascii() or "\u4e00" <= letter <= "\u9fff" for letter in letters)


_FREE = _words(
    """126.com 139.com 163.com 163.net 189.cn 21cn.com 263.net aliyun.com aol.com att.net bigpond.com bk.ru comcast.net
    daum.net eyou.com fastmail.com foxmail.com free.fr gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com
    hanmail.net hotmail.co.uk hotmail.com hotmail.de hotmail.es hotmail.fr hotmail.it icloud.com inbox.ru laposte.net
    libero.it list.ru live.cn live.com mac.com mail.com mail.ru me.com msn.com naver.com orange.fr outlook.com
    outlook.de outlook.fr pm.me proton.me protonmail.com qq.com rediffmail.com sbcglobal.net sina.cn sina.com
    sina.com.cn sohu.com t-online.de terra.com.br tom.com tutanota.com uol.com.br verizon.net wanadoo.fr web.de wo.cn
    yahoo.ca yahoo.cn yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.br yahoo.com.cn yahoo.com.hk
    yahoo.com.tw yahoo.de yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru yeah.net ymail.com zoho.com"""
)
_DISPOSABLE = _words(
    """10minutemail.com 20minutemail.com discard.email dispostable.com emailondeck.com fakeinbox.com getnada.com
    grr.la guerrillamail.com guerrillamail.net mailcatch.com maildrop.cc mailinator.com mailnesia.com mintemail.com
    mohmal.com sharklasers.com spam4.me temp-mail.io temp-mail.org tempail.com tempmail.com throwawaymail.com
    trashmail.com trashmail.de yopmail.com yopmail.fr"""
)
_ADDRESS = re.compile(r"[^@\s,;<>\"]+@((?:[\w](?:[\w-]*[\w])?\.)+[^\W\d_]{2,}|(?:[\w-]+\.)+xn--[\w-]+)")
_EDUCATION = re.compile(r"(?:^|\.)(?:edu|edu\.[a-z]{2}|ac\.[a-z]{2})$")
_GOVERNMENT = re.compile(r"(?:^|\.)(?:gov|mil|(?:gov|gob|gouv|go|govt|mil)\.[a-z]{2}|gc\.ca|europa\.eu)$")


def _domain(email: str) -> str | None:
    match = _ADDRESS.fullmatch(email.lower()) if len(email) <= _LONGEST else None
    return match.group(1) if match else None


def email_domain_kind(email: str | None) -> EmailKind | None:
    """Return what kind of house an e-mail address belongs to, judged by its domain alone.

    Examples
    --------
    >>> email_domain_kind("li@vip.qq.com"), email_domain_kind("x@tsinghua.edu.cn"), email_domain_kind("x@acme.example")
    ('free', 'education', 'corporate')
    >>> email_domain_kind("no at sign"), email_domain_kind("")
    ('invalid', None)
    """
    bare = blank_to_none(email)
    if bare is None:
        return None
    domain = _domain(bare)
    if domain is None:
        return "invalid"
    labels = domain.split(".")
    parents = {".".join(labels[start:]) for start in range(len(labels) - 1)}
    if parents & _DISPOSABLE:
        return "disposable"
    if parents & _FREE:
        return "free"
    if _EDUCATION.search(domain):
        return "education"
    return "government" if _GOVERNMENT.search(domain) else "corporate"


_EXTENSION = re.compile(r"(?:ext\.?|extension|分机|转|#|(?<=\d)\s*x)\s*\d*\s*$", re.IGNORECASE)


def _phone_digits(phone: str | None) -> str | None:
    """Return the international digits of a phone number, or None where it cannot be one.

    Numbers without a country code are completed only where their form tells the country: eleven digits from 13 to 19
    are a Chinese mobile, ten digits in the North American form get a 1. Others keep their national digits.
    """
    bare = blank_to_none(phone)
    if bare is None or len(bare) > _LONGEST:
        return None
    text = _EXTENSION.sub("", unicodedata.normalize("NFKC", bare)).replace("(0)", "")
    digits = re.sub(r"\D", "", text)
    if text.lstrip(" (").startswith("+") or digits.startswith("00"):
        digits = digits.lstrip("0")
    elif re.fullmatch(r"1[3-9]\d{9}", digits):
        digits = "86" + digits
    elif re.fullmatch(r"[2-9]\d\d[2-9]\d{6}", digits):
        digits = "1" + digits
    else:
        digits = digits.lstrip("0")
    return digits if 7 <= len(digits) <= 15 and len(set(digits)) > 1 else None


def contact_completeness(name: str | None, email: str | None, phone: str | None) -> float:
    """Return the share, 0 to 1, of name, e-mail address and phone number that could be used to reach somebody.

    Examples
    --------
    >>> contact_completeness("Li Wei", "li@acme.example", "+86 138 0013 8000")
    1.0
    >>> contact_completeness("n/a", "not an address", None)
    0.0
    """
    usable = (
        blank_to_none(name) is not None,
        email_domain_kind(email) not in {None, "invalid"},
        _phone_digits(phone) is not None,
    )
    return sum(usable) / len(usable)


def person_key(name: str | None, email: str | None, phone: str | None) -> str | None:
    """Return a key that is equal for two leads of one person, or None where nothing identifies them.

    The e-mail address in lower case without a plus tag decides; without a valid one, the phone number with its country
    code. A name alone identifies nobody. The key is the start of a SHA-256: it hides the value from a reader, but
    somebody who can guess the address can recompute it, so it stays a pseudonym and not an anonymous value.

    Examples
    --------
    >>> person_key(None, "Li.Wei+fair@Acme.example", None) == person_key("Li", "li.wei@acme.example", "1")
    True
    >>> person_key(None, None, "0086 138-0013-8000") == person_key(None, None, "13800138000")
    True
    >>> person_key("Li Wei", None, None) is None
    True
    """
    del name
    bare = (blank_to_none(email) or "").lower()
    digits = _phone_digits(phone)
    if _domain(bare):
        local, _, domain = bare.rpartition("@")
        normal = f"email:{local.split('+')[0] or local}@{domain}"
    elif digits:
        normal = f"phone:{digits}"
    else:
        return None
    return hashlib.sha256(normal.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ContactFacts:
    """What may leave the contact data: no value in it is personal but the pseudonym `person_id`."""

    email_domain_kind: EmailKind | None
    contact_completeness: float
    person_id: str | None


def contact_facts(name: str | None, email: str | None, phone: str | None) -> ContactFacts:
    """Return everything that is derived from the contact data of one lead.

    Examples
    --------
    >>> contact_facts(None, "a@gmail.com", None).email_domain_kind
    'free'
    """
    return ContactFacts(
        email_domain_kind(email), contact_completeness(name, email, phone), person_key(name, email, phone)
    )
