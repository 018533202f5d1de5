"""The figures of the last look in OpenAPI."""

from __future__ import annotations

from typing import Any

from monitoring.standing import FORMAT
from serving.http.describing import ERRORS, REQUEST_ID, Described, responses
from serving.watching.answers import MonitoringAnswer

__all__ = ["DESCRIBED"]

_EXAMPLE: dict[str, Any] = {
    "format": FORMAT,
    "as_of": "2026-11-16T00:00:00Z",
    "computed_at": "2026-11-16T00:01:12Z",
    "timezone": "UTC",
    "bundle": "sha256:0f",
    "lights": [
        {"name": "promise", "light": "not_measured"},
        {"name": "order", "light": "not_measured"},
        {"name": "data", "light": "red"},
        {"name": "baselines", "light": "not_measured"},
    ],
    "call": {
        "act": "mend",
        "reason": {
            "en": "a source has stopped (leads.source: webinar): no retrain before it is mended",
            "zh": "某个来源中断（leads.source: webinar）：修复之前不重新训练",
        },
        "because": ["source_stopped leads.source: webinar"],
    },
    "findings": [
        {
            "kind": "source_stopped",
            "name": {"en": "a source has stopped", "zh": "某个来源中断"},
            "subject": "leads.source: webinar",
            "severity": "act",
            "evidence": {"en": "0 came in 28 days, about 41 were expected", "zh": "28 天内 0 条，预期约 41 条"},
            "remedy": {"en": "ask whoever runs this source", "zh": "先问该来源的负责人"},
        }
    ],
    "not_measured": [
        {"part": "record", "reason": {"en": "no score had been given by then", "zh": "截至该时刻尚无评分"}}
    ],
    "record": None,
    "drift": {
        "window_days": 28,
        "arrivals": 180,
        "arrivals_usual": 214.5,
        "flows": [{"table": "leads", "source": "webinar", "usual": 40.8, "now": 0, "silent_days": 29.5}],
        "compared": 31,
        "fields": [],
        "grades": [{"name": "A", "usual": 0.1, "now": 0.08}],
        "reasons": [{"name": "whitepapers", "usual": 0.3, "now": 0.31}],
    },
    "baselines": None,
    "attribution": None,
    "overall": "red",
    "age_days": 5.3,
    "stale": False,
}

DESCRIBED = Described(
    paths={
        "/v1/monitoring": {
            "get": {
                "operationId": "monitoring",
                "summary": "Whether scores keep their promise, and what is not as it was",
                "description": "The figures that `clew monitor` computed last: the record, drift, what is due, the "
                "baselines and, if asked for, the attribution. Nothing is computed here. For keys of the role manager "
                "or admin.",
                "parameters": [REQUEST_ID],
                "responses": responses("MonitoringAnswer", "The figures.", _EXAMPLE, *sorted((404, *ERRORS))),
            }
        }
    },
    models=((MonitoringAnswer, "serialization"),),
)
