"""The rules for Prometheus ask only for what the service tells, and each says what it means and what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serving.http.metrics import Metrics
from serving.webhooks.delivering import News

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "examples" / "prometheus-rules.yml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
# What Prometheus itself knows of everything that it scrapes.
OWN_LABELS = frozenset({"job", "instance"})
_METRIC = re.compile(r"\b(up|clew_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


@cache
def exposed() -> dict[str, set[str]]:
    """The labels of every sample that the service tells once everything has happened to it."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.answered("/v1/score", "POST", 200, 0.003)
    metrics.refused("store_unavailable")
    warning = {"code": "unknown_category", "field": "lead.source"}
    metrics.scored({"source": "model", "score": 50, "warnings": [warning]})
    metrics.busy("score", 1)
    metrics.changed("refused")
    metrics.serving(None, None, None)
    metrics.taken("leads", "stored")
    metrics.rescored(scored=1, dropped=0, failed=0)
    metrics.webhook("delivered", 1)
    metrics.monitored(None)
    told: defaultdict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            told[sample.name] |= set(sample.labels)
    return dict(told) | {"up": set()}


def asked(expression: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The metrics that an expression names, with the values it asks of their labels."""
    for name, matchers in _METRIC.findall(expression):
        yield name, {label: value for label, _, value in _MATCHER.findall(matchers)}


@pytest.mark.parametrize("name", list(ALERTS))
def test_a_rule_asks_only_for_metrics_and_labels_that_the_service_tells(name: str) -> None:
    expression = ALERTS[name]["expr"]
    found = list(asked(expression))
    assert found
    known: set[str] = set()
    for metric, labels in found:
        assert metric in exposed(), metric
        assert set(labels) <= exposed()[metric] | OWN_LABELS, (metric, labels)
        assert labels["job"] == "clew"
        known |= exposed()[metric]
    grouped = {label.strip() for labels in _GROUPED.findall(expression) for label in labels.split(",")} - {""}
    assert grouped <= known | OWN_LABELS


@pytest.mark.parametrize("name", list(ALERTS))
def test_the_text_of_a_rule_names_only_labels_that_are_left(name: str) -> None:
    rule = ALERTS[name]
    left = {label.strip() for labels in _GROUPED.findall(rule["expr"]) for label in labels.split(",")}
    text = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.([a-z_]+)", text)) <= left | (OWN_LABELS if "up{" in rule["expr"] else set())


def test_the_check_of_names_sees_a_metric_and_a_label_that_are_not_there() -> None:
    found = dict(asked('sum by (le) (rate(clew_nothing_total{job="clew", colour=~"red"}[5m])) > 0'))
    assert found == {"clew_nothing_total": {"job": "clew", "colour": "red"}}
    assert "clew_nothing_total" not in exposed()
    assert "colour" not in exposed()["clew_requests_total"]


@pytest.mark.parametrize("name", list(ALERTS))
def test_every_value_that_a_rule_asks_for_is_one_that_the_service_writes(name: str) -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "serving").rglob("*.py"))
    for metric, labels in asked(ALERTS[name]["expr"]):
        closed = {label: value for label, value in labels.items() if label not in {"job", "status", "route"}}
        for label, values in closed.items():
            for value in values.split("|"):
                assert f'"{value}"' in source, (metric, label, value)
                assert metric != "clew_webhook_tries_total" or value in get_args(News)


@pytest.mark.parametrize("name", list(ALERTS))
def test_a_rule_waits_has_a_severity_and_says_what_is_wrong_and_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert re.fullmatch(r"\d+[mhd]", rule["for"])
    assert rule["labels"]["severity"] in {"page", "ticket"}
    for text in (rule["annotations"]["summary"], rule["annotations"]["action"]):
        assert text[0].isupper() or text[0] in "`{'"
        assert text.endswith(".")
        assert len(text) > 20


def test_there_are_few_rules_each_with_its_own_name() -> None:
    assert sum(len(group["rules"]) for group in GROUPS) == len(ALERTS) <= 16
    assert all(name.startswith("Clew") for name in ALERTS)


@pytest.mark.parametrize("name", list(ALERTS))
def test_brackets_and_quotes_of_an_expression_are_closed(name: str) -> None:
    bare = re.sub(r'"[^"]*"', "", ALERTS[name]["expr"])
    assert '"' not in bare
    waiting: list[str] = []
    for sign in re.sub(r"[^()\[\]{}]", "", bare):
        if sign in "([{":
            waiting.append(sign)
        else:
            assert waiting
            assert waiting.pop() + sign in {"()", "[]", "{}"}
    assert not waiting


# By promtool's notation, a sample a minute: courses on which an alert fires, and courses on which it is silent.
COURSES: dict[str, tuple[str, str, str]] = {
    "ClewDown": ('up{job="clew", instance="a"}', "0x90", "1x90"),
    "ClewRulesAnswer": ('clew_bundle_workers{job="clew", instance="a", bundle="rules"}', "2x90", "0x90"),
    "ClewScoresNotLogged": ('clew_scores_not_logged_total{job="clew", instance="a"}', "0+5x90", "7x90"),
    "ClewBacklog": ('clew_waiting_leads{job="clew", instance="a"}', "500x90", "0x90"),
    "ClewOutboxStuck": ('clew_webhook_waiting{job="clew", instance="a"}', "3x90", "0x90"),
}


@pytest.mark.parametrize("name", list(COURSES))
def test_thresholds_fire_and_stay_silent_by_promtool(name: str, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        # No package index has it; whoever runs Prometheus has, and the names are checked above on every run.
        pytest.skip("promtool, which comes with Prometheus, evaluates the rules")
    path = tmp_path / "cases.yml"
    path.write_text(yaml.safe_dump(_cases(name)))
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True, capture_output=True)
    subprocess.run(["promtool", "test", "rules", str(path)], check=True, capture_output=True)


def _cases(name: str) -> dict[str, Any]:
    """A file of promtool's tests in which the alert fires on the first course and is silent on the second."""
    series, bad, good = COURSES[name]
    firing = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values}],
            "promql_expr_test": [
                {"expr": firing, "eval_time": "80m", "exp_samples": [{"labels": "{}", "value": fired}]}
            ],
        }
        for values, fired in ((bad, 1), (good, 0))
    ]
    return {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
