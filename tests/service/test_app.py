"""The endpoint without BentoML: what it lets in, the one shape of its errors, its description."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

import serving.http.exchange
from features.scorecard import load_scorecard
from serving.http.admission import Admission, Limits
from serving.http.event_log import EventLog
from serving.http.exchange import accepted_language
from serving.openapi import openapi_document
from serving.scoring.answers import BatchAnswer, ModelCard, ScoreAnswer
from serving.scoring.handlers import BATCH_LIMIT, MOST_VALUES, SINGLE_LIMIT
from serving.scoring.reasons import ReasonTeller
from serving.scoring.scorer import Scorer
from tests.service.calling import HERE, Client, problem

JSON = {"content-type": "application/json"}
PERSONAL = "li.wei@acme.example"


@pytest.fixture(scope="session")
def client(scorer: Scorer) -> Client:
    return Client(scorer)


def test_a_lead_is_scored_in_the_language_asked_for(client: Client, payload: dict[str, Any]) -> None:
    response = client("POST", "/v1/score", json=payload, headers={"accept-language": "fr, zh-CN;q=0.9, en;q=0.4"})
    assert response.status_code == 200
    assert response.headers["content-language"] == "zh"
    assert any(
        "白皮书" in reason["text"] for reason in ScoreAnswer.model_validate(response.json()).model_dump()["reasons"]
    )


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-Hans-CN", "zh"),
        ("en;q=0.5, zh;q=0.6", "zh"),
        ("zh;q=0", "en"),
        ("*", "en"),
        ("zh;q=abc", "en"),
        ("de, fr", "en"),
        (";;,=q", "en"),
        ("zh;q=0.2, *;q=0.9", "en"),
    ],
)
def test_the_language_follows_the_weights(header: str, language: str) -> None:
    assert accepted_language(header) == language


def test_the_request_id_comes_back_if_it_is_plain(client: Client) -> None:
    assert client("GET", "/v1/model", headers={"x-request-id": "crm-7:a"}).headers["x-request-id"] == "crm-7:a"
    for odd in ("a b", "x" * 65, "<b>"):
        assert client("GET", "/v1/model", headers={"x-request-id": odd}).headers["x-request-id"] != odd


@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=latin-1", "application/x-pickle", ""])
def test_only_json_in_utf8_is_taken(client: Client, path: str, kind: str) -> None:
    response = client("POST", path, content=b"{}", headers={"content-type": kind})
    assert (response.status_code, problem(response)["code"]) == (415, "unsupported_media_type")


def test_a_compressed_body_is_not_taken(client: Client) -> None:
    response = client("POST", "/v1/score", content=b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert response.status_code == 415


@pytest.mark.parametrize(("path", "limit"), [("/v1/score", SINGLE_LIMIT), ("/v1/score/batch", BATCH_LIMIT)])
def test_a_body_over_the_limit_is_refused_before_parsing(client: Client, path: str, limit: int) -> None:
    response = client("POST", path, content=b"[" * (limit + 1), headers=JSON)
    assert (response.status_code, problem(response)["code"]) == (413, "body_too_large")
    assert client("POST", path, content=b" " * limit, headers=JSON).status_code == 400


def test_a_chunked_body_over_the_limit_is_refused(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 100_000

    assert client("POST", "/v1/score", content=chunks(), headers=JSON).status_code == 413


def test_a_body_that_does_not_arrive_is_given_up(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    monkeypatch.setattr(serving.http.exchange, "BODY_SECONDS", 0.05)
    response = client("POST", "/v1/score", content=never(), headers=JSON)
    assert (response.status_code, problem(response)["code"]) == (408, "body_timeout")


@pytest.mark.parametrize("literal", [b"NaN", b"1e999", b'"800"', b'null, "shoe": 1'])
def test_bad_input_is_400_and_names_the_field(client: Client, literal: bytes) -> None:
    body = b'{"lead": {"lead_id": "L", "account": {"employees": ' + literal + b"}}}"
    response = client("POST", "/v1/score", content=body, headers=JSON)
    assert response.status_code == 400
    assert problem(response)["field"] in {"lead.account.employees", "lead.account.shoe"}


def test_several_problems_are_all_listed(client: Client) -> None:
    body = {"lead": {"lead_id": "L", "source": 1, "medium": 2}, "as_of": "2026-11-21T08:00:00"}
    error = problem(client("POST", "/v1/score", json=body))
    assert [detail["field"] for detail in error["details"]] == ["lead.source", "lead.medium", "as_of"]


def test_deep_json_is_refused(client: Client) -> None:
    body = b'{"lead": {"lead_id": "L", "custom": {"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}}"
    assert problem(client("POST", "/v1/score", content=body, headers=JSON))["code"] == "invalid_json"
    assert (
        problem(client("POST", "/v1/score/batch", content=b'{"leads": ' + body, headers=JSON))["code"] == "invalid_json"
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/nothing", 404),
        ("GET", "/v1/score/", 404),
        ("GET", "/v1/score", 405),
        ("DELETE", "/v1/score", 405),
        ("POST", "/v1/model", 405),
    ],
)
def test_unknown_paths_and_methods_have_the_same_shape_of_error(
    client: Client, method: str, path: str, status: int
) -> None:
    response = client(method, path)
    assert response.status_code == status
    assert problem(response)["code"] == {404: "not_found", 405: "method_not_allowed"}[status]


def test_a_batch_is_answered_in_order_with_the_bad_item_in_its_place(client: Client, payload: dict[str, Any]) -> None:
    leads = [payload, {"lead": {"lead_id": 5}}, 7, {"lead": {"lead_id": "L-4"}}]
    response = client("POST", "/v1/score/batch", json={"leads": leads}, headers={"accept-language": "zh"})
    results = BatchAnswer.model_validate(response.json()).model_dump()["results"]
    assert [result["status"] for result in results] == ["ok", "error", "error", "ok"]
    assert results[1]["error"]["field"] == "leads.1.lead.lead_id"
    assert results[2]["error"]["field"] == "leads.2"
    single = client("POST", "/v1/score", json=payload, headers={"accept-language": "zh"}).json()
    assert response.json()["results"][0] == {"status": "ok", **single}


@pytest.mark.parametrize("body", [{"leads": [{}] * 201}, {"leads": {}}, {}, {"leads": [], "more": 1}])
def test_a_batch_that_is_none_is_400(client: Client, body: dict[str, Any]) -> None:
    assert client("POST", "/v1/score/batch", json=body).status_code == 400


def test_an_unexpected_failure_is_a_neutral_500_and_its_log_holds_nothing_that_was_sent(
    scorer: Scorer, payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"could not convert {PERSONAL}")

    monkeypatch.setattr(Scorer, "told", fail)
    client = Client(scorer)
    with caplog.at_level(logging.DEBUG):
        response = client("POST", "/v1/score", json=payload, headers={"x-request-id": "r-9"})
        items = client("POST", "/v1/score/batch", json={"leads": [payload]})
    assert (response.status_code, problem(response)["code"]) == (500, "internal")
    assert items.status_code == 500
    assert PERSONAL not in response.text + items.text + caplog.text + client.logged
    fault = json.loads(client.logged.splitlines()[0])
    assert (fault["event"], fault["request_id"], fault["error"]) == ("fault", "r-9", "ValueError")
    assert fault["place"].startswith("service/test_app.py:")


def test_contact_data_are_neither_answered_nor_logged(
    client: Client, payload: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    payload["lead"]["contact"] = {"name": "Li Wei", "email": PERSONAL, "phone": "13800138000"}
    with caplog.at_level(logging.DEBUG):
        response = client("POST", "/v1/score", json=payload)
    assert response.status_code == 200
    told = response.text + caplog.text + client.logged
    assert not any(part in told for part in ("Li Wei", "acme", "13800138000"))


def test_before_anything_is_loaded_a_score_is_503(payload: dict[str, Any]) -> None:
    response = Client(None)("POST", "/v1/score", json=payload)
    assert (response.status_code, problem(response)["code"]) == (503, "not_ready")


def test_the_model_card_tells_grades_with_their_measured_conversion(client: Client, scorer: Scorer) -> None:
    card = ModelCard.model_validate(client("GET", "/v1/model").json())
    assert card.source == "model"
    assert [grade.grade for grade in card.grades] == ["A", "B", "C", "D"]
    assert all(grade.won <= grade.judged for grade in card.grades)
    rules = ModelCard.model_validate(Client(Scorer(None, load_scorecard()))("GET", "/v1/model").json())
    assert (rules.source, rules.model, rules.grades) == ("rules", None, [])


def test_the_description_is_sound_and_every_path_answers_as_documented(client: Client, scorer: Scorer) -> None:
    document = client("GET", "/v1/openapi.json").json()
    assert document == json.loads(json.dumps(openapi_document()))
    for path in ("/v1/score", "/v1/score/batch", "/v1/model", "/v1/openapi.json"):
        for method, operation in document["paths"][path].items():
            media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            response = client(method.upper(), path, json=media["example"]) if media else client(method.upper(), path)
            assert response.status_code == 200
            if media:
                valid(document, media["schema"], media["example"])
            valid(document, operation["responses"]["200"]["content"]["application/json"]["schema"], response.json())
            for told in operation["responses"].values():
                content = told["content"]["application/json"]
                if "example" in content:
                    valid(document, content["schema"], content["example"])


def test_every_documented_error_is_in_the_shape_it_documents(client: Client) -> None:
    document = openapi_document()
    codes = {status for path in document["paths"].values() for op in path.values() for status in op["responses"]}
    assert codes == {"200", "400", "401", "403", "404", "405", "408", "409", "413", "415", "429", "500", "503"}
    for method, path in (("PUT", "/v1/score"), ("PUT", "/v1/model")):
        valid(document, {"$ref": "#/components/schemas/ErrorAnswer"}, client(method, path).json())


def test_a_batch_of_more_values_than_can_be_held_is_refused_before_parsing(client: Client) -> None:
    body = b'{"leads": [[' + b"1," * (MOST_VALUES + 1) + b"1]]}"
    response = client("POST", "/v1/score/batch", content=body, headers=JSON)
    assert (response.status_code, problem(response)["code"]) == (413, "too_many_values")


def test_more_than_the_queue_holds_is_429_with_retry_after_and_the_others_are_answered(
    scorer: Scorer, payload: dict[str, Any]
) -> None:
    client = Client(scorer, admission=Admission(Limits(singles=3)))

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url=HERE) as caller:
            return await asyncio.gather(*(caller.post("/v1/score", json=payload) for _ in range(8)))

    answers = asyncio.run(all_at_once())
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 5
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert problem(refused[0])["code"] == "overloaded"
    assert sum(answer.status_code == 200 for answer in answers) == 3
    assert client("POST", "/v1/score", json=payload).status_code == 200


def test_batches_that_wait_are_bounded_and_single_leads_pass_between_their_leads(
    scorer: Scorer, payload: dict[str, Any]
) -> None:
    client = Client(scorer, admission=Admission(Limits(batches=1, waiting_batches=1)))
    order: list[str] = []

    async def all_at_once() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url=HERE) as caller:

            async def send(name: str, path: str, body: dict[str, Any]) -> int:
                status = (await caller.post(path, json=body)).status_code
                order.append(name)
                return status

            batches = [send(f"batch {k}", "/v1/score/batch", {"leads": [payload] * 40}) for k in range(3)]
            return await asyncio.gather(*batches, send("single", "/v1/score", payload))

    assert sorted(asyncio.run(all_at_once())) == [200, 200, 200, 429]
    assert order.index("single") < min(order.index("batch 0"), order.index("batch 1"))


def test_bodies_that_are_still_arriving_are_bounded_together(scorer: Scorer) -> None:
    client = Client(scorer, admission=Admission(Limits(buffered_bytes=1_000)))
    response = client("POST", "/v1/score", content=b" " * 1_001, headers=JSON)
    assert (response.status_code, problem(response)["code"]) == (429, "overloaded")
    assert client("POST", "/v1/score", content=b" " * 999, headers=JSON).status_code == 400


def test_the_order_of_keys_changes_nothing(client: Client, payload: dict[str, Any]) -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return [reversed_keys(each) for each in value] if isinstance(value, list) else value

    plain, turned = (client("POST", "/v1/score", json=body) for body in (payload, reversed_keys(payload)))
    assert plain.json() == turned.json()


def test_a_request_leaves_one_line_with_route_status_and_bundle(scorer: Scorer, payload: dict[str, Any]) -> None:
    client = Client(scorer)
    client("POST", "/v1/score?lead=secret", json=payload, headers={"x-request-id": "r-1"})
    client("BREW", "/v1/secret/path")
    first, second = (json.loads(line) for line in client.logged.splitlines())
    assert scorer.bundle is not None
    assert first.pop("ms") > 0
    assert first.pop("time").endswith("Z")
    assert first == {
        "event": "request",
        "method": "POST",
        "route": "/v1/score",
        "status": 200,
        "bundle": scorer.bundle.digest,
        "request_id": "r-1",
        "key": None,
    }
    assert (second["method"], second["route"], second["status"]) == ("other", "other", 404)
    assert "secret" not in client.logged


def test_metrics_count_leads_scores_unknown_categories_and_refusals(scorer: Scorer, payload: dict[str, Any]) -> None:
    client = Client(scorer)
    payload["lead"]["source"] = "never seen"
    batch = {"leads": [payload, {"lead": {"lead_id": "L"}}, {"lead": {}}]}
    client("POST", "/v1/score", json=payload)
    client("POST", "/v1/score/batch", json=batch)

    def value(name: str, **labels: str) -> float | None:
        return client.registry.get_sample_value(name, labels)

    assert value("clew_leads_total", source="model") == 2
    assert value("clew_leads_total", source="model_profile") == 1
    assert value("clew_score_count") == 3
    assert value("clew_unknown_categories_total", field="lead.source") == 2
    assert value("clew_refusals_total", code="missing_field") == 1
    assert value("clew_request_seconds_count", route="/v1/score/batch") == 1
    assert value("clew_requests_total", route="/v1/score", method="POST", status="200") == 1


def test_where_reasons_cannot_be_told_the_score_is_given_without_them(
    client: Client, payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client("POST", "/v1/score", json=payload).json()

    def fail(*_: object) -> None:
        raise KeyError("a feature without words")

    monkeypatch.setattr(ReasonTeller, "tell", fail)
    response = client("POST", "/v1/score", json=payload)
    answer = ScoreAnswer.model_validate(response.json())
    assert (answer.probability, answer.rules.points) == (whole["probability"], whole["rules"]["points"])
    assert answer.reasons is None
    assert "reasons_failed" in [warning.code for warning in answer.warnings]
    assert answer.base_logit is not None
    assert answer.remainder_logit is not None
    assert answer.probability is not None
    logit = math.log(answer.probability / (1 - answer.probability))
    assert answer.base_logit + answer.remainder_logit == pytest.approx(logit, abs=1e-6)
    assert client.registry.get_sample_value("clew_warnings_total", {"code": "reasons_failed"}) == 1


def test_log_lines_that_cannot_be_written_are_dropped_and_counted() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    log = EventLog(Full())
    log.tell("request", status=200)
    log.flush()
    assert log.dropped == 1


def valid(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    Draft202012Validator.check_schema({**schema, "components": document["components"]})
    errors = list(Draft202012Validator({**schema, "components": document["components"]}).iter_errors(value))
    assert not errors
