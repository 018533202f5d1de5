"""Who is forgotten is nowhere any more, and no sync brings it back; what is kept for a time is then deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from data.clock import DAY_US, from_us, to_us
from data.errors import DataError
from data.forget import forget
from data.invariants import check_invariants
from data.retention import Retention, retain
from data.store import (
    Store,
    add_events,
    add_feedback,
    add_target,
    current_score,
    feedback_on,
    history,
    migrate,
    open_store,
    put_lead,
    record_scores,
)
from data.store.forgetting import forgotten_among
from data.sync import sync
from data.warehouse import Warehouse
from tests.commands import CommandLine
from tests.data.exports import LEADS_ROWS, NOW, leads_text, run, write_export
from tests.data.stores import BOTH, NOW_US, SIGNING, emptied, event, lead, made_store, rows_of, score

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = {"name": "Ada Secretname", "email": "ada@hidden.example", "phone": "+86 138 0013 8000"}
TELLING = ("Secretname", "hidden.example", "0013 8000", "Chief Odd Officer", "ada-page", "erp-of-ada")
LATER = from_us(NOW_US)


@pytest.fixture(scope="module", params=BOTH)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with made_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    return emptied(shared)


def met(store: Store) -> None:
    """Ada as two leads, and somebody else."""
    ada = {"job_title": "Chief Odd Officer", "landing_page": "/ada-page", "custom": {"erp": "erp-of-ada"}}
    for lead_id in ("L-1", "L-2"):
        put_lead(store, lead(lead_id, contact=SECRET, **ada), modified_us=20 * DAY_US, now_us=NOW_US)
    put_lead(store, lead("L-3", contact={"email": "bob@kept.example"}), modified_us=20 * DAY_US, now_us=NOW_US)
    add_events(store, [event("e1"), event("e3", "L-3")], now_us=NOW_US)
    add_target(store, "https://example.org/x", secret=SIGNING, kinds=("grade_changed",), now_us=NOW_US)
    told = {"features": {"job": "Chief Odd Officer"}, "reasons": [{"text": "Ada Secretname"}]}
    for grade, at_us in (("B", NOW_US), ("A", NOW_US + 1)):
        record_scores(store, [score("L-1", grade=grade, as_of_us=at_us, **told), score("L-3", as_of_us=at_us)])
    add_feedback(store, "L-1", key_id="k", verdict="too_low", note="Ada Secretname called")


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_forgotten_person_is_nowhere_in_the_store_and_others_stay(store: Store, tmp_path: Path) -> None:
    met(store)
    others = [[row for row in rows if "L-3" in row] for rows in rows_of(store, "contacts", "leads", "scores").values()]
    done = forget(store, Warehouse(tmp_path / "w"), "L-2", now_us=NOW_US)
    assert (done.leads, done.store.contacts, done.store.leads, done.store.scores) == (2, 2, 2, 2)
    assert done.store.feedback == 1
    text = repr(rows_of(store))
    assert [word for word in TELLING if word in text] == []
    after = [[row for row in rows if "L-3" in row] for rows in rows_of(store, "contacts", "leads", "scores").values()]
    assert after == others
    assert (current_score(store, "L-1"), feedback_on(store, "L-1")) == (None, [])
    assert [(given.score.grade, given.score.features) for given in history(store, "L-1")] == [("A", {}), ("B", {})]
    assert forgotten_among(store, ["L-1", "L-2", "L-3"]) == {"L-1", "L-2"}
    hashes = rows_of(store, "forgotten")["forgotten"]
    assert not any("L-" in str(value) for row in hashes for value in row)
    assert len(rows_of(store, "events")["events"]) == 2


def test_of_a_file_nothing_of_the_person_can_be_read_any_more(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'folder' / 'store.sqlite'}"
    migrate(url)
    store = open_store(url)
    met(store)
    assert b"Secretname" in bytes_of(tmp_path / "folder")
    forget(store, Warehouse(tmp_path / "w"), "L-1", now_us=NOW_US)
    found = bytes_of(tmp_path / "folder")
    assert [word for word in TELLING if word.encode() in found] == []
    store.close()


@pytest.fixture
def imported(tmp_path: Path) -> Warehouse:
    """An import with contacts, and a quarantine that names one of the persons."""
    warehouse = Warehouse(tmp_path / "warehouse")
    rows = (*LEADS_ROWS, "L1,no time,web,VP Ops,open,1,,,Ada Secretname,ada@acme.example,+1 212 555 0100")
    run(write_export(tmp_path / "in", leads=leads_text(*rows)), warehouse)
    return warehouse


def test_a_forgotten_person_is_nowhere_in_the_warehouse_and_its_quarantine(store: Store, imported: Warehouse) -> None:
    told = (b"Secretname", b"ada@acme", b"555 0100")
    quarantined = bytes_of(imported.path / "quarantine")
    assert all(word in quarantined for word in told)
    with imported.connect() as connection:
        before = connection.sql(
            "SELECT lead_id, name, email, phone FROM contacts WHERE lead_id <> 'L1' ORDER BY 1"
        ).fetchall()
    done = forget(store, imported, "L1", now_us=NOW_US)
    assert (done.contacts, done.quarantined) == (1, 2)  # the line is a lead and a contact
    with imported.connect() as connection:
        assert (
            connection.sql(
                "SELECT lead_id, name, email, phone FROM contacts WHERE lead_id <> 'L1' ORDER BY 1"
            ).fetchall()
            == before
        )
        assert connection.sql("SELECT count(*) FROM contacts WHERE lead_id = 'L1'").fetchall() == [(0,)]
        (row, *_) = connection.sql(
            "SELECT person_id, job_title, seniority, email_domain_kind, custom_staff, source FROM leads "
            "WHERE lead_id = 'L1'"
        ).fetchall()
    assert row == (None, None, None, None, None, "web")
    everything = bytes_of(imported.path)
    assert [word for word in told if word in everything] == []
    assert check_invariants(imported, now=NOW).checked
    assert forget(store, imported, "L1", now_us=NOW_US).contacts == 0


def test_a_later_sync_does_not_bring_a_person_back(store: Store, tmp_path: Path) -> None:
    met(store)
    warehouse = Warehouse(tmp_path / "w")
    sync(store, warehouse, now=LATER)
    forget(store, warehouse, "L-1", now_us=NOW_US)
    put_lead(store, lead("L-1", job_title="Chief Odd Officer"), modified_us=21 * DAY_US, now_us=NOW_US)
    report = sync(store, warehouse, now=LATER + timedelta(hours=1))
    assert not any(table.refused for table in report.tables.values())
    with warehouse.connect() as connection:
        titles = connection.sql("SELECT DISTINCT job_title FROM leads WHERE lead_id <> 'L-3'").fetchall()
    assert titles == [(None,)]
    assert b"Chief Odd" not in bytes_of(warehouse.path)


def test_erasing_that_broke_off_in_between_is_finished_by_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met(store)
    warehouse = Warehouse(tmp_path / "w")
    sync(store, warehouse, now=LATER)

    def fail(*_: object) -> Any:
        raise OSError("no more")

    monkeypatch.setattr("data.forget.rewrite", fail)
    with pytest.raises(OSError, match="no more"):
        forget(store, warehouse, "L-1", now_us=NOW_US)
    monkeypatch.undo()
    # In between the warehouse still holds what was derived; a sync carries it nowhere.
    sync(store, warehouse, now=LATER)
    assert "Chief Odd" not in repr(rows_of(store))
    assert forget(store, warehouse, "L-1", now_us=NOW_US).lead_rows == 2
    assert b"Chief Odd" not in bytes_of(warehouse.path)


def test_a_lead_that_nobody_knows_is_refused_and_not_noted(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="knows the lead"):
        forget(store, Warehouse(tmp_path / "w"), "nobody", now_us=NOW_US)
    assert rows_of(store, "forgotten")["forgotten"] == []


# --- what is kept for a time --------------------------------------------------------------------------------------


def test_what_is_past_its_time_is_deleted_on_both_sides_and_a_sync_does_not_bring_it_back(
    store: Store, tmp_path: Path
) -> None:
    day = NOW_US // DAY_US
    put_lead(store, lead(contact=SECRET), modified_us=20 * DAY_US, now_us=NOW_US)
    add_events(
        store, [event("old", day=day - 40), event("edge", day=day - 30), event("new", day=day - 1)], now_us=NOW_US
    )
    warehouse = Warehouse(tmp_path / "w")
    sync(store, warehouse, now=LATER)
    for number, given_us in enumerate((NOW_US - 40 * DAY_US, NOW_US - 35 * DAY_US)):
        record_scores(store, [score(as_of_us=given_us, probability=number / 2)], now_us=given_us)
    retention = Retention(events_days=30, scores_days=30, contacts_days=30)
    done = retain(store, warehouse, retention, now_us=NOW_US)
    assert (done.store_events, done.store_contacts, done.warehouse_events) == (1, 1, 1)
    assert (done.store_scores, [given.score.probability for given in history(store, "L-1")]) == (1, [0.5])
    report = sync(store, warehouse, now=LATER, events_from_us=retention.events_from_us(NOW_US))
    assert not report.changed
    with warehouse.connect() as connection:
        assert connection.sql("SELECT event_id FROM events ORDER BY 1").fetchall() == [("edge",), ("new",)]
    warehouse.verify()
    assert retain(store, warehouse, retention, now_us=NOW_US).as_dict() == dict.fromkeys(done.as_dict(), 0)


def test_without_a_setting_everything_is_kept(store: Store, tmp_path: Path) -> None:
    met(store)
    before = rows_of(store)
    done = retain(store, Warehouse(tmp_path / "w"), Retention(), now_us=NOW_US + 10_000 * DAY_US)
    assert set(done.as_dict().values()) == {0}
    assert rows_of(store) == before


def test_the_commands_erase_and_delete_and_say_what(tmp_path: Path) -> None:
    clew = CommandLine(tmp_path)
    assert clew("init").code == 0
    store = open_store(clew.settings().store_url)
    put_lead(store, lead(contact=SECRET), modified_us=20 * DAY_US)
    add_events(store, [event("e1")])
    told = clew("forget", "L-1", "--yes")
    assert (told.code, "1 contact rows" in told.err) == (0, True)
    assert not any(word in told.err + told.out for word in TELLING)
    assert clew("forget", "L-9", "--yes").code == 2
    assert "everything is kept" in clew("retain").err
    kept = clew("retain", "--json", CLEW_KEEP_EVENTS_DAYS="30")
    assert '"store_events": 1' in kept.out
    store.close()
    assert to_us(LATER) == NOW_US
