"""The running service tells of a lead that enters a pool, once, within seconds, signed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from data.clock import DAY_US, HOUR_US, from_us, iso, now, to_us
from data.store.migrate import migrate
from tests.service.receivers import genuine, receiving
from tests.service.running import Wire, log_lines, metric, running, soon

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from serving.process.start import ServiceHandle


def ask(handle: ServiceHandle, method: str, path: str, body: Any = None) -> Any:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: clew\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    with Wire(handle) as wire:
        wire.send(head.encode() + b"\r\n\r\n" + content)
        answer = wire.answer()
    assert answer is not None
    assert answer.status == 200, answer.body
    return answer.json()


def hot_lead(handle: ServiceHandle) -> None:
    """Put a lead that the rules send to pool A."""
    begun_us = to_us(now()) - 3 * DAY_US
    account = {"industry": "software", "employees": 800, "modified_at": iso(from_us(begun_us))}
    ask(handle, "PUT", "/v1/accounts/A", account)
    lead = {"created_at": iso(from_us(begun_us)), "account_id": "A", "job_title": "VP Ops"}
    ask(handle, "PUT", "/v1/leads/L-1", lead)
    for hour in (1, 2, 3):
        at = iso(from_us(begun_us + hour * HOUR_US))
        event = {"specversion": "1.0", "source": "site", "type": "whitepaper_download", "subject": "L-1"}
        ask(handle, "POST", "/v1/events", event | {"id": at, "time": at})


def test_a_lead_that_enters_a_pool_is_told_once_by_one_of_two_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEW_WEBHOOK_PRIVATE", "true")  # read by the workers
    migrate(f"sqlite:///{tmp_path / 'store.sqlite'}")
    refusals = [503]
    with (
        receiving(lambda *_: refusals.pop() if refusals else 200) as receiver,
        running(tmp_path, workers=2) as handle,
    ):
        made = ask(handle, "POST", "/v1/webhooks", {"url": receiver.url, "pools": ["A"]})
        hot_lead(handle)
        path = f"/v1/webhooks/{made['target_id']}/deliveries"
        assert soon(lambda: any(each["state"] == "delivered" for each in ask(handle, "GET", path)["deliveries"]), 30)
        time.sleep(2.5)
        (told,) = ask(handle, "GET", path)["deliveries"]
        counted = {news: metric(handle, "clew_webhook_tries_total", result=news) for news in ("delivered", "failed")}
        lines = log_lines(handle, "webhook")
        log = handle.log.read_text("utf-8", errors="replace")
    assert (told["type"], told["attempts"], told["last_status"]) == ("pool_entered", 2, "200")
    assert receiver.ids == [told["message_id"]] * 2
    assert all(genuine(each, made["secret"]) for each in receiver.got)
    data = receiver.got[0].json()["data"]
    assert (data["lead_id"], data["pool"]["now"], data["cause"]) == ("L-1", "A", "change")
    assert data["assign_by"] > data["as_of"]
    assert counted == {"delivered": 1.0, "failed": 1.0}
    assert [(line["result"], line["why"]) for line in lines] == [("failed", "503"), ("delivered", "200")]
    for hidden in (made["secret"], receiver.url, "L-1"):
        assert hidden not in log
