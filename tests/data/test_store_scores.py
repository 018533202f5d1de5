"""What clew says of leads is kept to the digit, by the one who may, with the messages that it causes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from data.clock import MINUTE_US
from data.errors import InfrastructureError, UsageError
from data.store import (
    DirtyLead,
    LeaseLostError,
    Store,
    acquire,
    add_events,
    add_feedback,
    add_target,
    claim_deliveries,
    create_key,
    current_score,
    delete_view,
    feedback_on,
    history,
    list_keys,
    list_targets,
    put_lead,
    record_scores,
    release,
    remove_target,
    renew,
    revoke_key,
    save_view,
    send_all,
    settle_delivery,
    take_dirty,
    verify_key,
    views_of,
)
from data.store import scores as scores_module
from tests.data.stores import BOTH, NOW_US, SIGNING, emptied, event, lead, made_store, rows_of, score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data.store.outbox import MessageKind


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


def test_a_score_comes_back_to_the_last_digit(store: Store) -> None:
    given = score()
    assert record_scores(store, [given], now_us=NOW_US + 1).written == 1
    (found,) = history(store, "L-1")
    assert (found.score, found.given_us) == (given, NOW_US + 1)
    assert current_score(store, "L-1") == found
    assert current_score(store, "nobody") is None


def test_the_same_score_sent_again_is_written_once_and_another_one_beside_it(store: Store) -> None:
    record_scores(store, [score()], now_us=NOW_US)
    again = record_scores(store, [score(), score(), score(features={"page_views_7d": 1.0})], now_us=NOW_US + 5)
    assert again.written == 1
    assert [each.given_us for each in history(store, "L-1")] == [NOW_US + 5, NOW_US]


def test_a_score_that_is_no_json_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        record_scores(store, [score(), score(features={"x": float("nan")})], now_us=NOW_US)
    assert not any(rows_of(store).values())


def test_history_is_read_page_by_page_from_the_newest(store: Store) -> None:
    for hour in range(5):
        record_scores(store, [score(as_of_us=NOW_US + hour), score("other")], now_us=NOW_US + hour)
    first = history(store, "L-1", limit=3)
    rest = history(store, "L-1", before_id=first[-1].score_id)
    assert [each.score.as_of_us - NOW_US for each in (*first, *rest)] == [4, 3, 2, 1, 0]


def test_a_score_for_the_past_enters_the_history_and_changes_nothing_else(store: Store) -> None:
    add_target(store, "https://crm.example/hook", secret=SIGNING)
    record_scores(store, [score(grade="B")], now_us=NOW_US)
    told = record_scores(store, [score(grade="A", as_of_us=NOW_US - 1)], now_us=NOW_US)
    assert (told.written, told.regraded, told.messages) == (1, 0, 0)
    found = current_score(store, "L-1")
    assert found is not None
    assert found.score.grade == "B"


def test_a_lead_that_was_scored_is_clean_and_one_that_changed_meanwhile_is_not(store: Store) -> None:
    for each in ("a", "b"):
        put_lead(store, lead(each), modified_us=1, now_us=NOW_US)
    taken = take_dirty(store)
    add_events(store, [event("e1", "b")], now_us=NOW_US + 1)
    record_scores(store, [score("a"), score("b")], done=taken, now_us=NOW_US + 2)
    assert [(each.lead_id, each.since_us) for each in take_dirty(store)] == [("b", NOW_US)]
    assert take_dirty(store, limit=0) == []


def test_those_that_wait_longest_are_taken_first(store: Store) -> None:
    for at, each in enumerate(("c", "a", "b")):
        put_lead(store, lead(each), modified_us=1, now_us=NOW_US + at)
    put_lead(store, lead("c", source="x"), modified_us=2, now_us=NOW_US + 9)
    assert [each.lead_id for each in take_dirty(store, limit=2)] == ["c", "a"]


def messages(store: Store, *, now_us: int = NOW_US) -> list[tuple[MessageKind, Any]]:
    found = claim_deliveries(store, limit=100, hold_us=MINUTE_US, now_us=now_us)
    return [(each.kind, each.body) for each in found]


def test_a_change_of_grade_is_told_to_those_who_asked(store: Store) -> None:
    add_target(store, "https://crm.example/hook", secret=SIGNING, kinds=["grade_changed"])
    add_target(store, "https://crm.example/pools", secret=SIGNING, kinds=["pool_entered"], pools=["A"])
    assert record_scores(store, [score(grade="B")], now_us=NOW_US).messages == 0
    told = record_scores(store, [score(grade="A", as_of_us=NOW_US + 1, pool="A")], now_us=NOW_US)
    assert (told.regraded, told.messages) == (1, 2)
    assert record_scores(store, [score(grade="A", as_of_us=NOW_US + 2, pool="A")], now_us=NOW_US).messages == 0
    found = dict(messages(store))
    assert found.keys() == {"grade_changed", "pool_entered"}
    assert found["grade_changed"]["grade"] == {"before": "B", "now": "A"}
    assert found["grade_changed"]["as_of"] == "2024-10-04T00:00:00.000001Z"


def test_a_lead_whose_first_score_lies_in_a_chosen_pool_has_entered_it(store: Store) -> None:
    add_target(store, "https://crm.example/pools", secret=SIGNING, pools=["A"])
    assert record_scores(store, [score(pool="A")], now_us=NOW_US).messages == 1
    assert [(kind, body["pool"]) for kind, body in messages(store)] == [("pool_entered", {"before": None, "now": "A"})]


def test_a_new_model_is_told_in_one_summary_and_not_lead_by_lead(store: Store) -> None:
    add_target(store, "https://crm.example/hook", secret=SIGNING)
    record_scores(store, [score(str(n), grade="B") for n in range(5)], now_us=NOW_US)
    moved = [score(str(n), grade="A", as_of_us=NOW_US + 1, cause="model") for n in range(5)]
    told = record_scores(store, moved, now_us=NOW_US)
    assert (told.regraded, told.messages) == (5, 0)
    assert send_all(store, "model_changed", {"regraded": told.regraded}, now_us=NOW_US) == 1
    assert messages(store) == [("model_changed", {"regraded": 5})]


def test_scores_marks_and_messages_are_written_together_or_not_at_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_target(store, "https://crm.example/hook", secret=SIGNING)
    put_lead(store, lead(), modified_us=1, now_us=NOW_US)
    record_scores(store, [score(grade="B")], now_us=NOW_US)
    before, taken = rows_of(store), take_dirty(store)

    def fail(*_: object) -> int:
        raise OSError("the process ends here")

    monkeypatch.setattr(scores_module, "unmark", fail)
    with pytest.raises(OSError, match="ends here"):
        record_scores(store, [score(grade="A", as_of_us=NOW_US + 1)], done=taken, now_us=NOW_US)
    assert rows_of(store) == before


def test_a_message_is_held_by_one_worker_until_its_time_is_over(store: Store) -> None:
    add_target(store, "https://crm.example/hook", secret=SIGNING)
    send_all(store, "model_changed", {}, now_us=NOW_US)
    (first,) = claim_deliveries(store, limit=9, hold_us=MINUTE_US, now_us=NOW_US)
    assert claim_deliveries(store, limit=9, hold_us=MINUTE_US, now_us=NOW_US + MINUTE_US - 1) == []
    (second,) = claim_deliveries(store, limit=9, hold_us=MINUTE_US, now_us=NOW_US + MINUTE_US)
    assert second.delivery_id == first.delivery_id
    assert not settle_delivery(store, first, delivered=True, now_us=NOW_US + MINUTE_US)
    later_us = NOW_US + 10 * MINUTE_US
    assert settle_delivery(store, second, delivered=False, retry_us=later_us, now_us=NOW_US + MINUTE_US)
    assert messages(store, now_us=later_us - 1) == []
    (third,) = claim_deliveries(store, limit=9, hold_us=MINUTE_US, now_us=later_us)
    assert third.attempts == 1
    assert settle_delivery(store, third, delivered=True, now_us=later_us)
    assert messages(store, now_us=later_us + 100 * MINUTE_US) == []


def test_a_target_that_was_removed_gets_nothing_more_and_a_secret_is_not_shown(store: Store) -> None:
    target = add_target(store, "https://crm.example/hook", secret=SIGNING)
    assert list_targets(store) == [target]
    assert SIGNING not in repr(target)
    send_all(store, "model_changed", {}, now_us=NOW_US)
    assert remove_target(store, target.target_id, now_us=NOW_US)
    assert not remove_target(store, target.target_id, now_us=NOW_US)
    assert (messages(store), send_all(store, "model_changed", {}), list_targets(store)) == ([], 0, [])
    with pytest.raises(UsageError, match="kind"):
        add_target(store, "https://crm.example/hook", secret=SIGNING, kinds=[])


def test_a_lease_has_one_holder_until_its_end_and_each_holder_another_number(store: Store) -> None:
    first = acquire(store, "rescore", holder="a", ttl_us=10, now_us=100)
    assert first is not None
    assert acquire(store, "rescore", holder="b", ttl_us=10, now_us=109) is None
    assert acquire(store, "other", holder="b", ttl_us=10, now_us=109) is not None
    longer = renew(store, first, ttl_us=10, now_us=109)
    assert longer == replace(first, expires_us=119)
    assert acquire(store, "rescore", holder="b", ttl_us=10, now_us=118) is None
    second = acquire(store, "rescore", holder="b", ttl_us=10, now_us=119)
    assert second is not None
    assert second.token > first.token
    assert renew(store, first, ttl_us=10, now_us=120) is None
    release(store, first)
    assert acquire(store, "rescore", holder="c", ttl_us=10, now_us=120) is None
    release(store, second)
    assert acquire(store, "rescore", holder="c", ttl_us=10, now_us=120) is not None


def test_who_has_lost_the_lease_writes_nothing(store: Store) -> None:
    late = acquire(store, "rescore", holder="late", ttl_us=10, now_us=100)
    assert late is not None
    record_scores(store, [score("a")], lease=late, now_us=NOW_US)
    next_ = acquire(store, "rescore", holder="next", ttl_us=10, now_us=200)
    assert next_ is not None
    before = rows_of(store)
    with pytest.raises(LeaseLostError, match="another holder") as caught:
        record_scores(store, [score("b")], lease=late, done=[DirtyLead("b", 1, "m")], now_us=NOW_US)
    assert isinstance(caught.value, InfrastructureError)
    assert rows_of(store) == before
    assert record_scores(store, [score("b")], lease=next_, now_us=NOW_US).written == 1


def test_a_key_is_known_by_its_text_alone_and_the_text_is_stored_nowhere(store: Store) -> None:
    key, text = create_key(store, "crm", role="rep", scopes=["score", "read"], owner_ids=["o-1"], now_us=NOW_US)
    create_key(store, "other", role="admin", scopes=["admin"], now_us=NOW_US + 1)
    assert verify_key(store, text, now_us=NOW_US) == key
    assert (key.role, key.scopes, key.owner_ids) == ("rep", frozenset(("score", "read")), frozenset(("o-1",)))
    secret = text.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in repr(rows_of(store))
    assert [each.name for each in list_keys(store)] == ["crm", "other"]


def test_anything_but_the_text_of_a_valid_key_is_no_key(store: Store) -> None:
    key, text = create_key(store, "crm", role="rep", scopes=["score"], now_us=NOW_US)
    _, other = create_key(store, "other", role="rep", scopes=["score"], now_us=NOW_US)
    mixed = "_".join([*text.split("_")[:2], other.split("_", 2)[2]])
    for wrong in (
        "",
        "clew",
        "clew__",
        text[:-1],
        text + "x",
        text.upper(),
        mixed,
        f"{text}\x00",
        "clew_\ud800_x",
        "线_索",
    ):
        assert verify_key(store, wrong, now_us=NOW_US) is None
    assert verify_key(store, text.replace("clew_", "wlec_", 1), now_us=NOW_US) is None
    assert verify_key(store, text, now_us=NOW_US) == key


def test_a_key_ends_when_it_expires_or_is_revoked(store: Store) -> None:
    key, text = create_key(store, "crm", role="rep", scopes=["score"], expires_us=NOW_US + 5, now_us=NOW_US)
    assert verify_key(store, text, now_us=NOW_US + 4) == key
    assert verify_key(store, text, now_us=NOW_US + 5) is None
    key, text = create_key(store, "crm", role="rep", scopes=["score"], now_us=NOW_US)
    assert revoke_key(store, key.key_id, now_us=NOW_US + 1)
    assert not revoke_key(store, key.key_id, now_us=NOW_US + 2)
    assert not revoke_key(store, "nobody", now_us=NOW_US + 2)
    assert verify_key(store, text, now_us=NOW_US) is None
    assert [each.revoked_us for each in list_keys(store) if each.key_id == key.key_id] == [NOW_US + 1]


@pytest.mark.parametrize("wrong", [{"role": "boss"}, {"scopes": []}, {"scopes": ["everything"]}])
def test_a_key_of_an_unknown_role_or_scope_is_not_made(store: Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="unknown"):
        create_key(store, "crm", **({"role": "rep", "scopes": ["score"]} | wrong))
    assert list_keys(store) == []


def test_feedback_and_views_are_their_owners(store: Store) -> None:
    first = add_feedback(store, "L-1", key_id="k", verdict="too_high", note="已联系", score_id=3, now_us=NOW_US)
    add_feedback(store, "L-2", key_id="k", verdict="too_low", now_us=NOW_US)
    assert feedback_on(store, "L-1") == [first]
    with pytest.raises(UsageError, match="verdict"):
        add_feedback(store, "L-1", key_id="k", verdict="wrong")  # type: ignore[arg-type]
    saved = save_view(store, "k", "hot", {"grade": "A"}, now_us=NOW_US)
    again = save_view(store, "k", "hot", {"grade": "B"}, now_us=NOW_US + 1)
    assert again.view_id == saved.view_id
    assert views_of(store, "k") == [again]
    assert views_of(store, "other") == []
    assert not delete_view(store, "other", saved.view_id)
    assert delete_view(store, "k", saved.view_id)
    assert views_of(store, "k") == []
