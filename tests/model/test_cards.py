"""A card has the form that each platform documents, arrives once, and never carries what it must not."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InfrastructureError, UsageError
from monitoring.cards.card import Card, Figure, shown_id
from monitoring.cards.platforms import (
    PLATFORMS,
    Message,
    Platform,
    Reply,
    dingtalk_sign,
    feishu_sign,
    judge,
    message_for,
)
from monitoring.cards.posting import Lost, post
from monitoring.cards.sending import DeliveryError, Patience, Sent, raise_undelivered, send_card
from monitoring.cards.targets import CardSettings, Target, load_card_settings, targets_of
from tests.model.cards import a_card, check

OK = {"wecom": b'{"errcode":0,"errmsg":"ok"}', "feishu": b'{"code":0,"msg":"success"}', "slack": b"ok"}
OK["dingtalk"] = OK["wecom"]
KEY_PATH = "/hook/very-secret-key"


def body(platform: Platform, card: Card, secret: str | None = None) -> bytes:
    return message_for(platform, card, secret=secret, at_ms=1_772_500_000_123).body


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_card_has_the_documented_form_and_says_everything(platform: Platform) -> None:
    told = json.dumps(check(platform, body(platform, a_card())), ensure_ascii=False)
    for words in ("clew: lead quality", "1,053", "🔴", "▲", "▼", "L-1, L-2", "L-3", "https://bi.example/quality.html"):
        assert words in told, words
    bare = check(platform, body(platform, a_card(alerts=(), figures=(), link=None)))
    assert "https://" not in json.dumps(bare)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_schema_is_no_open_door(platform: Platform) -> None:
    told = json.loads(body(platform, a_card()))
    for spoilt in ({**told, "extra": 1}, dict(list(told.items())[1:])):
        with pytest.raises(jsonschema.ValidationError):
            check(platform, json.dumps(spoilt).encode())


_TEXTS = st.text(min_size=1, max_size=5000).filter(lambda text: text.strip())


@given(
    title=_TEXTS,
    alerts=st.lists(_TEXTS, max_size=2),
    values=st.lists(_TEXTS, max_size=14),
    platform=st.sampled_from(PLATFORMS),
)
def test_any_text_stays_within_the_bounds_of_every_platform(
    title: str, alerts: list[str], values: list[str], platform: Platform
) -> None:
    figures = tuple(Figure(value[:300], value[:300]) for value in values)
    card = a_card(title=f"clew {title}"[:200], figures=figures, alerts=tuple(a[:1000] for a in alerts))
    check(platform, body(platform, card))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_id_becomes_neither_a_link_nor_a_mention(platform: Platform) -> None:
    evil = "[x](https://evil.example) <!channel> <@all> @all *b* `c`"
    told = json.dumps(check(platform, body(platform, a_card(alerts=(evil,)))), ensure_ascii=False)
    for sign in ("[x](", "<!channel", "<@", "@all", "`c`"):
        assert sign not in told, sign


def test_a_long_card_keeps_its_link_and_loses_its_end() -> None:
    figures = tuple(Figure(f"figure {number}", "九" * 60) for number in range(40))
    told = check("wecom", body("wecom", a_card(figures=figures)))["markdown"]["content"]
    assert told.endswith("(https://bi.example/quality.html)")
    assert "figure 0" in told
    assert "figure 39" not in told


def test_signatures_are_those_of_the_documentation() -> None:
    """Expected values by openssl: `openssl dgst -sha256 -mac HMAC`, as the documentation describes the sums."""
    assert feishu_sign("1599360473", "test") == "NVcdmaRhTlOqmXksontxmKEP4AYWAMD5VOczwSqarks="
    assert dingtalk_sign("1599360473000", "SECtest") == "9uMBwWNha8Pcr4QQCL9YQitwL0E0g2JIxycWz23gAkE="


def test_feishu_is_signed_in_the_body_and_dingtalk_in_the_address() -> None:
    told = check("feishu", body("feishu", a_card(), "s3cret"))
    key = f"{told['timestamp']}\ns3cret".encode()
    assert told["timestamp"] == "1772500000"
    assert told["sign"] == base64.b64encode(hmac.digest(key, b"", "sha256")).decode()
    secret = "SEC1"  # noqa: S105 - nobody's
    message = message_for("dingtalk", a_card(), secret=secret, at_ms=1_772_500_000_123)
    query = {name: values[0] for name, values in parse_qs(message.query).items()}
    expected = hmac.new(b"SEC1", f"{query['timestamp']}\nSEC1".encode(), hashlib.sha256).digest()
    assert query == {"timestamp": "1772500000123", "sign": base64.b64encode(expected).decode()}
    assert "sign" not in check("dingtalk", message.body)
    assert message_for("slack", a_card(), secret=secret, at_ms=1).query == ""


@pytest.mark.parametrize(
    ("platform", "status", "answer", "verdict"),
    [
        ("wecom", 200, b'{"errcode":93000,"errmsg":"invalid webhook url"}', "refused"),
        ("wecom", 200, b'{"errcode":45009}', "throttled"),
        ("wecom", 200, b'{"errcode":-1}', "again"),
        ("wecom", 200, b"<html>a proxy</html>", "again"),
        ("wecom", 200, b'{"errcode":null}', "again"),
        ("feishu", 200, b'{"code":19021,"msg":"sign match fail"}', "refused"),
        ("feishu", 200, b'{"code":11232}', "throttled"),
        ("feishu", 200, b'{"StatusCode":0,"StatusMessage":"success"}', "delivered"),
        ("feishu", 200, b'{"StatusCode":0,"code":19001}', "refused"),
        ("feishu", 400, b'{"code":9499}', "refused"),
        ("dingtalk", 200, b'{"errcode":310000,"errmsg":"sign not match"}', "refused"),
        ("dingtalk", 200, b'{"errcode":130101}', "throttled"),
        ("slack", 200, b"ok", "delivered"),
        ("slack", 200, b"no", "again"),
        ("slack", 429, b"rate_limited", "throttled"),
        ("slack", 404, b"no_service", "refused"),
        ("slack", 302, b"", "refused"),
        ("slack", 503, b"", "again"),
    ],
)
def test_a_200_with_an_error_code_is_no_delivery(platform: Platform, status: int, answer: bytes, verdict: str) -> None:
    assert judge(platform, Reply(status, answer))[0] == verdict


class Receiver:
    """A platform on this machine: answers in turn, and keeps what it has taken."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        self.answers, self.asked, self.taken = list(answers), list[tuple[str, bytes]](), list[dict[str, Any]]()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got = self.rfile.read(int(self.headers["content-length"]))
                receiver.asked.append((self.path, got))
                status, answer = receiver.answers.pop(0)
                if status == 200 and answer in OK.values():
                    receiver.taken.append(json.loads(got))
                if status:
                    self.send_response(status)
                    self.send_header("content-length", str(len(answer)))
                    if status == 429:
                        self.send_header("retry-after", "77")
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}{KEY_PATH}"


@contextmanager
def receiving(*answers: tuple[int, bytes]) -> Iterator[Receiver]:
    receiver = Receiver(list(answers))
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        thread.join()
        receiver.server.server_close()


def deliver(folder: Path, target: Target, waits: list[float] | None = None, **options: Any) -> Sent:
    waits = [] if waits is None else waits
    return send_card(a_card(), target, folder=folder, rng=np.random.default_rng(7), sleep=waits.append, **options)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_receiver_that_fails_twice_gets_the_card_exactly_once(platform: Platform, tmp_path: Path) -> None:
    refusal = (200, b"not ok") if platform == "slack" else (200, b'{"errcode":-1,"code":1}')
    waits: list[float] = []
    with receiving((500, b""), refusal, (200, OK[platform])) as receiver:
        target = Target("sales", platform, receiver.address, "SECx")
        sent = deliver(tmp_path, target, waits, patience=Patience(scatter=0.0))
        assert (sent.state, len(receiver.taken), len(receiver.asked)) == ("delivered", 1, 3)
        assert waits == [2.0, 6.0]
        assert [one.ended for one in sent.attempts][0::2] == ["HTTP 500", "ok"]
        check(platform, receiver.asked[-1][1])
        again = deliver(tmp_path, target)
        assert (again.state, again.fresh, len(receiver.asked)) == ("delivered", False, 3)
    if platform == "dingtalk":
        assert set(parse_qs(urlsplit(receiver.asked[0][0]).query)) == {"timestamp", "sign"}
    kept = "".join(path.read_text() for path in tmp_path.glob("*.json"))
    assert "secret" not in kept
    assert "SECx" not in kept
    assert receiver.address not in repr((target, sent))


def test_throttling_is_waited_out_and_a_longer_wish_is_kept(tmp_path: Path) -> None:
    waits: list[float] = []
    with receiving((429, b"rate_limited"), (200, b"ok")) as receiver:
        deliver(tmp_path, Target("s", "slack", receiver.address), waits)
    assert waits == [77.0]
    with receiving((200, b'{"errcode":45009}'), (200, OK["wecom"])) as receiver:
        deliver(tmp_path, Target("w", "wecom", receiver.address), waits)
    assert waits[1] >= 60


def test_what_a_platform_refuses_is_not_tried_again_and_says_what_to_look_at(tmp_path: Path) -> None:
    waits: list[float] = []
    with receiving((200, b'{"code":19021}')) as receiver:
        sent = deliver(tmp_path, Target("team", "feishu", receiver.address), waits)
    assert (sent.state, waits) == ("refused", [])
    with pytest.raises(DeliveryError, match="team: refused after 1 tries, last code 19021") as caught:
        raise_undelivered([sent])
    assert caught.value.exit_code == 4
    assert "secret" in caught.value.hint
    assert receiver.address not in str(caught.value)


def test_who_stays_away_is_given_up_after_six_tries_and_tried_again_by_the_next_run(tmp_path: Path) -> None:
    waits: list[float] = []

    def away(address: str, message: Message) -> Reply:
        raise Lost("unreachable")

    target = Target("team", "wecom", "https://nowhere.example/x")
    sent = deliver(tmp_path, target, waits, poster=away)
    assert (sent.state, len(sent.attempts), len(waits)) == ("failed", 6, 5)
    assert waits == sorted(waits)
    with pytest.raises(DeliveryError, match="1 of 1 cards did not arrive"):
        raise_undelivered([sent])
    with receiving((200, OK["wecom"])) as receiver:
        assert deliver(tmp_path, Target("team", "wecom", receiver.address)).state == "delivered"


def test_a_card_whose_answer_was_lost_is_never_sent_twice_by_itself(tmp_path: Path) -> None:
    with receiving((0, b""), (200, b"ok")) as receiver:
        target = Target("team", "slack", receiver.address)
        assert deliver(tmp_path, target).state == "uncertain"
        assert deliver(tmp_path, target).state == "uncertain"
        assert len(receiver.asked) == 1
        with pytest.raises(DeliveryError, match="--again"):
            raise_undelivered([deliver(tmp_path, target)])
        assert deliver(tmp_path, target, again=True).state == "delivered"


def test_a_run_that_died_while_sending_leaves_an_uncertain_card(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(address: str, message: Message) -> Reply:
        raise Killed

    target = Target("team", "slack", "https://hooks.example/x")
    with pytest.raises(Killed):
        deliver(tmp_path, target, poster=killed)
    assert deliver(tmp_path, target).state == "uncertain"
    (note,) = tmp_path.glob("*.json")
    note.write_text("{")
    assert deliver(tmp_path, target).state == "uncertain"


def test_two_runs_at_once_do_not_send_two_cards(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(InfrastructureError, match="another run is sending"):
            deliver(tmp_path, Target("team", "slack", "https://hooks.example/x"))


def test_nobody_listening_is_unreachable_and_certainly_not_taken() -> None:
    with receiving() as receiver:
        closed = receiver.address
    with pytest.raises(Lost, match="unreachable"):
        post(closed, Message(b"{}"))


def test_targets_come_from_the_file_and_addresses_from_the_environment_alone(tmp_path: Path) -> None:
    path = tmp_path / "cards.yaml"
    path.write_text("page: https://bi.example/q.html\ntargets:\n  sales: {platform: wecom, language: zh}\n")
    settings = load_card_settings(path)
    env = {
        "CLEW_CARD_SALES": "https://qyapi.example/key",
        "CLEW_CARD_SALES_SECRET": "s",
        "CLEW_CARD_SLACK": "https://s.example/",
    }
    sales, slack = targets_of(["sales", "slack", "sales"], settings, environment=env)
    assert (sales.platform, sales.language, sales.address, sales.secret) == ("wecom", "zh", env["CLEW_CARD_SALES"], "s")
    assert (slack.platform, slack.secret) == ("slack", None)
    assert "key" not in repr(sales)
    path.write_text("targets:\n  sales: {platform: wecom, address: https://qyapi.example/key}\n")
    with pytest.raises(UsageError, match="address") as caught:
        load_card_settings(path)
    assert "qyapi" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "is not set"),
        ("http://robot.example/s3cret", "https://"),
        ("https://user:s3cret@robot.example/", "https://"),
        ("s3cret", "https://"),
        ("https://robot.example/s3 cret", "no address"),
        ("https://[s3cret", "no address"),
    ],
)
def test_a_wrong_address_is_refused_and_not_shown(address: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        targets_of(["slack"], CardSettings(), environment={"CLEW_CARD_SLACK": address})
    assert "s3" not in str(caught.value)
    assert "CLEW_CARD_SLACK" in str(caught.value)


def test_an_unknown_target_a_missing_secret_and_a_page_that_breaks_markdown_are_refused() -> None:
    with pytest.raises(UsageError, match="there are dingtalk, feishu, slack, wecom"):
        targets_of(["mail"], CardSettings())
    settings = CardSettings.model_validate({"targets": {"a": {"platform": "feishu", "secret_env": "ROBOT"}}})
    with pytest.raises(UsageError, match="ROBOT is not set"):
        targets_of(["a"], settings, environment={"CLEW_CARD_A": "https://x.example/"})
    with pytest.raises(ValueError, match="without blanks and brackets"):
        CardSettings(page="https://x.example/a)b")


def test_a_card_takes_two_alerts_and_no_address_for_an_id() -> None:
    with pytest.raises(ValueError, match="2 alerts"):
        a_card(alerts=("a", "b", "c"))
    assert shown_id("li.wei@acme.example") == "…@…"
    assert "\n" not in shown_id("a\nb")
