"""How each platform wants a card, how it is signed, and how the platform says that it has taken it.

The formats are those of the platforms' documentation:

- WeCom, group robot: https://developer.work.weixin.qq.com/document/path/91770 (markdown up to 4096 bytes of UTF-8)
- Feishu and Lark, custom bot: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot (20 KB a request)
- DingTalk, custom robot: https://open.dingtalk.com/document/robots/custom-robot-access
- Slack, incoming webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks and
  https://docs.slack.dev/reference/block-kit/blocks (50 blocks, header 150, section 3000, field 2000 characters)

All but Slack answer 200 also to what they refuse; only the code in the answer says which it was.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlencode

from monitoring.cards.card import LIGHTS, OPEN_PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitoring.cards.card import Card, Figure, Light

__all__ = [
    "PLATFORMS",
    "Message",
    "Platform",
    "Reply",
    "Verdict",
    "dingtalk_sign",
    "feishu_sign",
    "judge",
    "message_for",
]

Platform = Literal["wecom", "feishu", "dingtalk", "slack"]
Verdict = Literal["delivered", "again", "throttled", "refused"]
PLATFORMS: tuple[Platform, ...] = get_args(Platform)

_WECOM_BYTES, _DINGTALK_BYTES = 4096, 20_000
_SLACK_HEADER, _SLACK_SECTION, _SLACK_FIELD, _SLACK_FIELDS = 150, 3000, 2000, 10
_WECOM_COLOURS: Mapping[Light, str] = MappingProxyType(
    {"green": "info", "amber": "warning", "red": "warning", "none": "comment"}
)
_FEISHU_COLOURS: Mapping[Light, str] = MappingProxyType(
    {"green": "green", "amber": "orange", "red": "red", "none": "blue"}
)
# Answers that no later try would change: a wrong address, signature, keyword or body. Any other one may pass.
_REFUSED: Mapping[Platform, frozenset[int]] = MappingProxyType(
    {
        "wecom": frozenset({40008, 40058, 44004, 93000}),
        "feishu": frozenset({9499, 19001, 19021, 19022, 19024}),
        "dingtalk": frozenset({40035, 300001, 310000, 400013, 400101, 400102, 400105, 400106}),
        "slack": frozenset(),
    }
)
_THROTTLED: Mapping[Platform, frozenset[int]] = MappingProxyType(
    {
        "wecom": frozenset({45009, 45033}),
        "feishu": frozenset({9429, 11232}),
        "dingtalk": frozenset({130101, 130102, 410100, 90030}),
        "slack": frozenset(),
    }
)
# Of HTTP: the request came too late, clashed or was one too many. Every other 4xx stays what it is.
_PASSING, _TOO_MANY = frozenset({408, 409, 425}), 429


@dataclass(frozen=True)
class Message:
    """What is posted; `query` are parameters that the address gets. Neither is shown: the query signs."""

    body: bytes = field(repr=False)
    query: str = field(default="", repr=False)


@dataclass(frozen=True)
class Reply:
    """What a platform answered: its status of HTTP, the body, and the seconds it asks to wait."""

    status: int
    body: bytes
    asked_s: float | None = None


def message_for(platform: Platform, card: Card, *, secret: str | None, at_ms: int) -> Message:
    r"""Return the card as a platform takes it, signed where the target has a secret.

    Parameters
    ----------
    platform
        Which.
    card
        What is said.
    secret
        The secret of the robot, None where it has none.
    at_ms
        The moment of this try, milliseconds since 1970-01-01T00:00:00Z; signatures hold for an hour.

    Examples
    --------
    >>> from monitoring.cards.card import Card
    >>> message_for("wecom", Card("r", "Title", "week 9", ()), secret=None, at_ms=0).body
    b'{"msgtype":"markdown","markdown":{"content":"### Title\\nweek 9"}}'
    """
    told = _BODIES[platform](card)
    query = ""
    if secret and platform == "feishu":
        seconds = str(at_ms // 1000)
        told = {"timestamp": seconds, "sign": feishu_sign(seconds, secret), **told}
    elif secret and platform == "dingtalk":
        query = urlencode({"timestamp": at_ms, "sign": dingtalk_sign(str(at_ms), secret)})
    return Message(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(), query)


def feishu_sign(seconds: str, secret: str) -> str:
    r"""Return base64(HMAC-SHA256(key = timestamp + "\n" + secret, message = nothing)).

    Examples
    --------
    >>> feishu_sign("1599360473", "test")
    'NVcdmaRhTlOqmXksontxmKEP4AYWAMD5VOczwSqarks='
    """
    return base64.b64encode(hmac.new(f"{seconds}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


def dingtalk_sign(milliseconds: str, secret: str) -> str:
    r"""Return base64(HMAC-SHA256(key = secret, message = timestamp + "\n" + secret)), to be put into the address.

    Examples
    --------
    >>> dingtalk_sign("1599360473000", "SECtest")
    '9uMBwWNha8Pcr4QQCL9YQitwL0E0g2JIxycWz23gAkE='
    """
    told = f"{milliseconds}\n{secret}".encode()
    return base64.b64encode(hmac.new(secret.encode(), told, hashlib.sha256).digest()).decode()


def judge(platform: Platform, reply: Reply) -> tuple[Verdict, str]:
    """Return what an answer means and, in a word, what it was; what the platform wrote is not repeated.

    Examples
    --------
    >>> judge("wecom", Reply(200, b'{"errcode":45009,"errmsg":"..."}'))
    ('throttled', 'errcode 45009')
    >>> judge("slack", Reply(200, b"ok")), judge("dingtalk", Reply(200, b'{"errcode":0}'))
    (('delivered', 'ok'), ('delivered', 'ok'))
    """
    if 200 <= reply.status < 300:
        return _judge_answer(platform, reply.body)
    code = _code(platform, reply.body)
    if reply.status == _TOO_MANY or code in _THROTTLED[platform]:
        return "throttled", f"HTTP {reply.status}"
    passing = reply.status >= 500 or reply.status in _PASSING
    return ("again" if passing else "refused"), f"HTTP {reply.status}"


def _judge_answer(platform: Platform, body: bytes) -> tuple[Verdict, str]:
    """Return what an answer of status 200 means: it may still be a refusal."""
    if platform == "slack":
        return ("delivered", "ok") if body.strip() == b"ok" else ("again", "no ok in the answer")
    code = _code(platform, body)
    if code is None:
        return "again", "no code in the answer"
    if code == 0:
        return "delivered", "ok"
    name = f"{'code' if platform == 'feishu' else 'errcode'} {code}"
    if code in _REFUSED[platform]:
        return "refused", name
    return ("throttled" if code in _THROTTLED[platform] else "again"), name


def _code(platform: Platform, body: bytes) -> int | None:
    """Return the code of an answer, None where it holds none; 0 alone is success."""
    try:
        told = json.loads(body)
    except ValueError:
        return None
    # Feishu's older answers say StatusCode, its newer ones code; some say both.
    names = ("code", "StatusCode") if platform == "feishu" else ("errcode",)
    found = [told[name] for name in names if name in told] if isinstance(told, dict) else []
    codes = [one for one in found if isinstance(one, int) and not isinstance(one, bool)]
    return max(codes, key=abs) if codes and len(codes) == len(found) else None


def _wecom(card: Card) -> dict[str, Any]:
    lines = [f"### {_plain(card.title)}", _plain(card.under)]
    for figure in card.figures:
        value = f'<font color="{_WECOM_COLOURS[figure.light]}">{_value(figure)}</font>'
        lines.append(f"> {figure.sign} {_plain(figure.label)}: {value}{_noted(figure)}")
    lines += [f"- {_plain(alert)}" for alert in card.alerts]
    end = [f"[{OPEN_PAGE.in_language(card.language)}]({card.link})"] if card.link else []
    return {"msgtype": "markdown", "markdown": {"content": _fitted(lines, end, _WECOM_BYTES)}}


def _dingtalk(card: Card) -> dict[str, Any]:
    # A single line break is none in its markdown, so that each line is a point of a list.
    lines = [f"### {_plain(card.title)}", f"{_plain(card.under)}\n"]
    lines += [f"- {f.sign} {_plain(f.label)}: **{_value(f)}**{_noted(f)}" for f in card.figures]
    lines += [f"- ⚠ {_plain(alert)}" for alert in card.alerts]
    end = [f"\n[{OPEN_PAGE.in_language(card.language)}]({card.link})"] if card.link else []
    return {
        "msgtype": "markdown",
        "markdown": {"title": _plain(card.title)[:64], "text": _fitted(lines, end, _DINGTALK_BYTES)},
    }


def _feishu(card: Card) -> dict[str, Any]:
    fields = [
        {"is_short": True, "text": _lark(f"{f.sign} {_plain(f.label)}\n**{_value(f)}**{_noted(f)}")}
        for f in card.figures
    ]
    elements: list[dict[str, Any]] = [{"tag": "div", "text": {"tag": "plain_text", "content": card.under}}]
    elements += [{"tag": "div", "fields": fields}] if fields else []
    elements += [{"tag": "hr"}] if card.alerts else []
    elements += [{"tag": "div", "text": _lark(f"⚠ {_plain(alert)}")} for alert in card.alerts]
    if card.link:
        words = {"tag": "plain_text", "content": OPEN_PAGE.in_language(card.language)}
        elements.append(
            {"tag": "action", "actions": [{"tag": "button", "text": words, "type": "primary", "url": card.link}]}
        )
    return {
        "msg_type": "interactive",
        "card": {
            "config": {"wide_screen_mode": True},
            "header": {
                "title": {"tag": "plain_text", "content": card.title},
                "template": _FEISHU_COLOURS[card.light],
            },
            "elements": elements,
        },
    }


def _lark(text: str) -> dict[str, str]:
    return {"tag": "lark_md", "content": text}


def _slack(card: Card) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(card.title, _SLACK_HEADER), "emoji": True}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(_slack_plain(card.under), _SLACK_FIELD)}]},
    ]
    told = [
        _cut(f"{f.sign} {_slack_plain(f.label)}\n*{_slack_plain(_value(f))}*{_slack_plain(_noted(f))}", _SLACK_FIELD)
        for f in card.figures
    ]
    for start in range(0, len(told), _SLACK_FIELDS):
        fields = [{"type": "mrkdwn", "text": text} for text in told[start : start + _SLACK_FIELDS]]
        blocks.append({"type": "section", "fields": fields})
    blocks += [_slack_section(f"⚠ {_slack_plain(alert)}") for alert in card.alerts]
    if card.link:
        blocks.append(_slack_section(f"<{card.link}|{OPEN_PAGE.in_language(card.language)}>"))
    light = LIGHTS[card.light].in_language(card.language)
    return {"text": _cut(f"{_slack_plain(card.title)}: {light}", _SLACK_SECTION), "blocks": blocks}


def _slack_section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SLACK_SECTION)}}


def _value(figure: Figure) -> str:
    return f"{_plain(figure.value)}{' ' if figure.arrow else ''}{figure.arrow}"


def _noted(figure: Figure) -> str:
    return f" ({_plain(figure.note)})" if figure.note else ""


def _plain(text: str) -> str:
    """Return a text without the signs that these dialects of markdown read as more than themselves.

    An id of a lead comes from outside: it must not become a link, a mention of everybody or a heading.
    """
    for sign, instead in (("<", "‹"), (">", "›"), ("[", "("), ("]", ")"), ("*", "∗"), ("`", "'"), ("@", "＠")):
        text = text.replace(sign, instead)
    return " ".join(text.split())


def _slack_plain(text: str) -> str:
    """Return a text for Slack, which asks for three entities and reads the rest of `_plain` as it stands."""
    return _plain(text).replace("&", "&amp;")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _fitted(lines: list[str], end: list[str], most: int) -> str:
    """Join lines so that they stay within a number of bytes; the last ones give way, the link stays."""
    kept = list(lines)
    while len("\n".join((*kept, *end)).encode()) > most and len(kept) > 1:
        kept.pop()
    whole = "\n".join((*kept, *end))
    return whole if len(whole.encode()) <= most else whole.encode()[:most].decode(errors="ignore")


_BODIES: Mapping[Platform, Callable[[Card], dict[str, Any]]] = MappingProxyType(
    {"wecom": _wecom, "feishu": _feishu, "dingtalk": _dingtalk, "slack": _slack}
)
