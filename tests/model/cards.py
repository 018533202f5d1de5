"""The platforms' formats as schemas, and a card that uses all of one.

What defines the formats:
- WeCom: https://developer.work.weixin.qq.com/document/path/91770 (markdown: content up to 4096 bytes of UTF-8)
- Feishu: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot and
  https://open.feishu.cn/document/common-capabilities/message-card (elements div, hr, action; body up to 20 KB)
- DingTalk: https://open.dingtalk.com/document/robots/custom-robot-access (markdown: title and text)
- Slack: https://docs.slack.dev/reference/block-kit/blocks/header-block (150 characters), section-block (text 3000, ten
  fields of 2000), context-block (ten elements); at most 50 blocks a message
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from monitoring.cards.card import Card, Figure
from monitoring.cards.platforms import Platform

__all__ = ["BYTES", "SCHEMAS", "a_card", "check"]

# Bytes of the whole body; WeCom counts those of the text.
BYTES: dict[Platform, int] = {"wecom": 20_000, "feishu": 20 * 1024, "dingtalk": 20_000, "slack": 100_000}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": sorted(required),
        "additionalProperties": False,
    }


def _text(most: int | None = None) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, **({} if most is None else {"maxLength": most})}


_LINK = {"type": "string", "pattern": "^https?://"}
_FEISHU_PLAIN = _object({"tag": {"const": "plain_text"}, "content": _text()})
_FEISHU_TEXT = _object({"tag": {"enum": ["plain_text", "lark_md"]}, "content": _text()})
_FEISHU_FIELD = _object({"is_short": {"type": "boolean"}, "text": _FEISHU_TEXT})
_FEISHU_BUTTON = _object(
    {"tag": {"const": "button"}, "text": _FEISHU_PLAIN},
    {"type": {"enum": ["default", "primary", "danger"]}, "url": _LINK},
)
_FEISHU_ELEMENT = {
    "oneOf": [
        _object({"tag": {"const": "div"}, "text": _FEISHU_TEXT}),
        _object({"tag": {"const": "div"}, "fields": {"type": "array", "minItems": 1, "items": _FEISHU_FIELD}}),
        _object({"tag": {"const": "hr"}}),
        _object({"tag": {"const": "action"}, "actions": {"type": "array", "minItems": 1, "items": _FEISHU_BUTTON}}),
    ]
}
_COLOURS = "blue wathet turquoise green yellow orange red carmine violet purple indigo grey"
_FEISHU_CARD = _object(
    {
        "header": _object({"title": _FEISHU_PLAIN}, {"template": {"enum": _COLOURS.split()}}),
        "elements": {"type": "array", "minItems": 1, "items": _FEISHU_ELEMENT},
    },
    {"config": _object({}, {"wide_screen_mode": {"type": "boolean"}})},
)
_SLACK_MARKDOWN = {"type": {"const": "mrkdwn"}}
_SLACK_BLOCK = {
    "oneOf": [
        _object(
            {
                "type": {"const": "header"},
                "text": _object({"type": {"const": "plain_text"}, "text": _text(150)}, {"emoji": {"type": "boolean"}}),
            }
        ),
        _object({"type": {"const": "section"}, "text": _object({**_SLACK_MARKDOWN, "text": _text(3000)})}),
        _object(
            {
                "type": {"const": "section"},
                "fields": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 10,
                    "items": _object({**_SLACK_MARKDOWN, "text": _text(2000)}),
                },
            }
        ),
        _object(
            {
                "type": {"const": "context"},
                "elements": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 10,
                    "items": _object({**_SLACK_MARKDOWN, "text": _text(2000)}),
                },
            }
        ),
    ]
}
SCHEMAS: dict[Platform, dict[str, Any]] = {
    "wecom": _object({"msgtype": {"const": "markdown"}, "markdown": _object({"content": _text()})}),
    "feishu": _object(
        {"msg_type": {"const": "interactive"}, "card": _FEISHU_CARD},
        {"timestamp": {"type": "string", "pattern": "^[0-9]{10}$"}, "sign": _text()},
    ),
    "dingtalk": _object(
        {"msgtype": {"const": "markdown"}, "markdown": _object({"title": _text(), "text": _text()})},
    ),
    "slack": _object(
        {"text": _text(40_000), "blocks": {"type": "array", "minItems": 1, "maxItems": 50, "items": _SLACK_BLOCK}}
    ),
}


def check(platform: Platform, body: bytes) -> dict[str, Any]:
    """Hold a body against the platform's format and bounds, and return it."""
    told: dict[str, Any] = json.loads(body)
    jsonschema.Draft202012Validator(SCHEMAS[platform]).validate(told)
    assert len(body) <= BYTES[platform]
    if platform == "wecom":
        assert len(told["markdown"]["content"].encode()) <= 4096
    return told


def a_card(**changes: Any) -> Card:
    """Return a card with everything that a card can have."""
    about: dict[str, Any] = {
        "report": "quality-20260302T0000-20260309T0000",
        "title": "clew: lead quality",
        "under": "2026-03-02 to 2026-03-08",
        "figures": (
            Figure("new leads", "1,053", "before: 993", move="up"),
            Figure("reachable", "93 %", "target ≥ 95 %", "red"),
            Figure("fields filled", "91 %", "target ≥ 85 %", "green", "level"),
            Figure("possible duplicates", "12", "", "amber", "down"),
        ),
        "alerts": ("20 good leads fell sharply: L-1, L-2", "6 leads stand still: L-3"),
        "link": "https://bi.example/quality.html",
    }
    return Card(**(about | changes))
