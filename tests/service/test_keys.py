"""Who is let in: when keys are demanded, how long they are believed, what a bearer sees, and the commands."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import clew
import serving.keys.keyring
from data.clock import DAY_US, now, to_us
from data.errors import InfrastructureError, UsageError
from data.settings import load_settings
from data.store.engine import Store, open_store
from data.store.keys import create_key, list_keys, revoke_key
from data.store.migrate import migrate
from serving.http.exchange import Refusal
from serving.keys.access import ANYONE, Principal, sees
from serving.keys.keyring import Keyring, check_bind
from serving.process.start import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def url(tmp_path: Path) -> str:
    found = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(found)
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    found = open_store(url)
    yield found
    found.close()


def ask(keyring: Keyring, text: str | None, address: str = "127.0.0.1") -> Principal | int:
    """Return who a key says one is, or the status of the refusal."""
    try:
        return asyncio.run(keyring.principal(None if text is None else f"Bearer {text}", address))
    except Refusal as refusal:
        return refusal.status


def test_on_this_machine_nobody_needs_a_key_until_the_first_one_is_made(url: str, store: Store) -> None:
    keyring = Keyring(url)
    assert keyring.refresh() == 0
    assert ask(keyring, None) == ANYONE
    key, text = create_key(store, "crm", role="rep", scopes=["score"], owner_ids=["u7"])
    assert keyring.refresh() == 1
    assert ask(keyring, None) == 401
    assert ask(keyring, text) == Principal(key.key_id, "rep", frozenset(("score",)), frozenset(("u7",)))
    revoke_key(store, key.key_id)
    assert keyring.refresh() == 0
    assert ask(keyring, None) == 401
    keyring.close()


def test_a_request_that_came_in_at_a_public_address_needs_a_key_whatever_was_configured(url: str) -> None:
    keyring = Keyring(url)
    keyring.refresh()
    assert ask(keyring, None, "192.168.1.7") == 401
    assert ask(keyring, None, "::1") == ANYONE
    keyring.close()


def test_a_key_that_expires_is_refused_from_that_moment_though_it_is_remembered(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = create_key(store, "trial", role="manager", scopes=["score"], expires_us=to_us(now()) + DAY_US)[1]
    keyring = Keyring(url)
    keyring.refresh()
    assert isinstance(ask(keyring, text), Principal)
    later = now().replace(year=now().year + 1)
    monkeypatch.setattr(serving.keys.keyring, "now", lambda: later)
    assert ask(keyring, text) == 401
    keyring.close()


def test_known_keys_go_on_and_new_ones_wait_while_the_store_is_away(
    url: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, new = (create_key(store, name, role="manager", scopes=["score"])[1] for name in ("a", "b"))
    keyring = Keyring(url)
    keyring.refresh()
    assert isinstance(ask(keyring, known), Principal)
    monkeypatch.setattr(serving.keys.keyring, "FRESH_SECONDS", 0.0)

    def away(_: object, __: str) -> None:
        raise InfrastructureError("the store cannot be reached")

    monkeypatch.setattr(Keyring, "_ask", away)
    assert isinstance(ask(keyring, known), Principal)
    assert ask(keyring, new) == 503
    keyring.close()


def test_a_store_that_cannot_be_read_demands_keys(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_text("no database " * 100, "utf-8")
    keyring = Keyring(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with pytest.raises(InfrastructureError):
        keyring.refresh()
    assert ask(keyring, None) == 401
    assert ask(keyring, "clew_0000000000000000_x") == 503
    keyring.close()


def test_no_key_is_kept_in_memory_as_text(url: str, store: Store) -> None:
    text = create_key(store, "crm", role="manager", scopes=["score"])[1]
    keyring = Keyring(url)
    keyring.refresh()
    ask(keyring, text)
    assert text not in repr(vars(keyring))
    assert keyring._seen
    keyring.close()


def test_a_rep_sees_the_leads_of_own_owners_a_manager_those_of_the_team_or_all() -> None:
    rep = Principal("k", "rep", frozenset(("read",)), frozenset(("u1",)))
    team = Principal("k", "manager", frozenset(("read",)), frozenset(("u1", "u2")))
    boss = Principal("k", "manager", frozenset(("read",)))
    seen = {owner: [sees(who, owner) for who in (rep, team, boss, ANYONE)] for owner in ("u1", "u2", None)}
    assert seen == {"u1": [True] * 4, "u2": [False, True, True, True], None: [False, False, True, True]}


def test_a_public_address_without_a_valid_key_is_refused_before_anything_starts(url: str, store: Store) -> None:
    settings = load_settings(host="0.0.0.0", store=url)  # noqa: S104 - that is what is refused
    with pytest.raises(UsageError, match=r"0\.0\.0\.0 is reached from other machines.*clew keys create"):
        serve(settings, background=True)
    key, _ = create_key(store, "crm", role="manager", scopes=["score"])
    check_bind(settings)
    revoke_key(store, key.key_id)
    with pytest.raises(UsageError, match="no valid API key"):
        check_bind(settings)


def test_localhost_needs_no_store_at_all(tmp_path: Path) -> None:
    check_bind(load_settings(home=tmp_path))
    keyring = Keyring(f"sqlite:///{tmp_path / 'none.sqlite'}")
    keyring.refresh()
    assert ask(keyring, None) == ANYONE
    assert not (tmp_path / "none.sqlite").exists()


def test_keys_are_made_listed_and_revoked_by_commands(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_STORE", url)
    call = CliRunner().invoke
    made = call(clew.application(), ["keys", "create", "crm", "--scope", "score", "--scope", "read", "--json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert told["key"].startswith(f"clew_{told['key_id']}_")
    listed = call(clew.application(), ["keys", "list", "--json"])
    assert json.loads(listed.stdout) == [{name: value for name, value in told.items() if name != "key"}]
    assert told["key"].rsplit("_", 1)[1] not in listed.stdout
    assert call(clew.application(), ["keys", "revoke", told["key_id"]]).exit_code == 0
    assert call(clew.application(), ["keys", "revoke", told["key_id"]]).exit_code == 0
    assert not list_keys(store)[0].is_valid(to_us(now()))


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "x", "--role", "chief"],
        ["create", "x", "--scope", "all"],
        ["create", "x", "--role", "rep"],
        ["revoke", "0" * 16],
    ],
)
def test_a_wrong_role_scope_or_id_is_told_in_words(
    url: str, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("CLEW_STORE", url)
    result = CliRunner().invoke(clew.application(), ["keys", *arguments])
    assert isinstance(result.exception, UsageError)
