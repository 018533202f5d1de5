from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from data.errors import UsageError
from data.expressions import Resolver, text_sql
from data.mapping import ColumnSpec, duration_us, load_mapping, preset_names

BASE = """
mapping: 1
name: t
files: {leads: {path: leads.csv}, deals: {path: deals.csv}}
tables:
  leads:
    from: leads
    known_at: import
    columns: {lead_id: Id, created_at: At}
"""


def load(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text, encoding="utf-8")
    load_mapping(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("known_at: import", "known_att: import", r"tables\.leads: unknown key 'known_att'; .*did you mean known_at"),
        ("path: deals.csv", "paht: deals.csv", r"files\.deals: unknown key 'paht'.*did you mean path"),
        ("name: t", "name: t\nzones: UTC", "unknown key 'zones'.*did you mean zone"),
        ("lead_id: Id", "lead: Id", r"tables\.leads\.columns\.lead: 'lead' is not a column of leads"),
        (", created_at: At", "", r"tables\.leads\.columns: created_at must be mapped"),
        ("from: leads", "from: lead", r"leads\.from: 'lead' is not a name under files; allowed are leads, deals"),
        ("  leads:\n    from", "  lead:\n    from", r"tables\.lead: 'lead' is not a canonical table"),
        ("created_at: At", "created_at: {column: At, value: x}", "exactly one of column, concat.*2 came"),
        ("created_at: At", "created_at: {column: At, plus: 12h}", r"created_at\.plus: a duration such as PT12H"),
        ("created_at: At", "created_at: {column: At, known: later}", "can be known later"),
        ("lead_id: Id", "lead_id: {column: Id, format: '%Y'}", "belong to times"),
        ("lead_id: Id", "lead_id: Id, status: {column: S, known: never}", r"status\.known: .*'at_creation', 'later'"),
        ("known_at: import", "known_at: {after: status}", "is not a mapped time column; allowed are created_at"),
        ("known_at: import", "known_at: {lag: PT1S}", r"known_at: expected \{after"),
        ("name: t", "name: t\nzone: Mars/Base", "zone: is no time zone"),
        ("path: deals.csv", "path: ../deals.csv", "inside the imported folder"),
        ("path: deals.csv", "path: deals.csv, encoding: utf-99", "is no encoding"),
        ("mapping: 1", "mapping: 2", "version 1 of the mapping language"),
        ("name: t", "name: t\nname: u", "key 'name' is written twice"),
        ("name: t", "name: t\nplan: {horizon: 3}", r"plan\.horizon"),
        ("name: t", "name: t\n  x: [", "is no YAML at line"),
        ("known_at: import", "known_at: import\n    custom: {ERP-1: {column: X, kind: text}}", "small letters"),
        ("known_at: import", "known_at: import\n    custom: {erp: {column: X, kind: date}}", r"custom\.erp\.kind"),
        ("created_at: At", "created_at: {exported_at: true}", r"exported_at: only merges\.occurred_at, outcomes"),
        ("created_at: At", "created_at: {value: x, exported_at: true}", "exported_at stands alone or beside column"),
        ("lead_id: Id", "lead_id: {column: Id, skip_empty: true}", "skip_empty belongs to concat"),
        ("name: t", "name: t\nfull_export: maybe", "full_export"),
    ],
    ids=range(27),
)  # fmt: skip
def test_a_wrong_mapping_is_refused_with_the_path_of_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in BASE
    with pytest.raises(UsageError, match=message):
        load(tmp_path, BASE.replace(old, new, 1))


def test_the_base_of_these_tests_is_a_right_mapping(tmp_path: Path) -> None:
    load(tmp_path, BASE)


def test_words_of_a_value_map_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    text = BASE.replace("lead_id: Id", "lead_id: Id, status: {column: S, values: {yes: won, 1: one, null: none}}")
    path.write_text(text, encoding="utf-8")
    assert load_mapping(path).tables["leads"].columns["status"].values == {"yes": "won", "1": "one", "null": "none"}


def test_an_unknown_preset_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match=r"no mapping 'salesfroce'; did you mean salesforce.*hubspot"):
        load_mapping("salesfroce")


@pytest.mark.parametrize("name", preset_names())
def test_every_mapping_that_ships_is_right(name: str) -> None:
    assert load_mapping(name).name == name


def test_all_systems_and_data_sets_ship() -> None:
    assert set(preset_names()) == {
        "bank_marketing", "bpi2012", "dynamics", "hubspot", "odoo", "olist", "salesforce"
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "P", "PT", "12h", "P1M", "P1Y", "-P1D"])
def test_durations_without_a_fixed_length_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_us(text)


def test_a_full_export_without_leads_is_refused(tmp_path: Path) -> None:
    events = "{source: S, event_id: E, lead_id: L, type: T, occurred_at: At}"
    text = f"""
mapping: 1
name: t
full_export: true
files: {{log: {{path: log.csv}}}}
tables: {{events: {{from: log, known_at: import, columns: {events}}}}}
"""
    with pytest.raises(UsageError, match=r"full_export: .*tables\.leads has to be mapped"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"Won": "won", "*": "open"}, ["won", "open", "open", None]),
        ({"*": "open"}, ["open", "open", "open", None]),
        ({"Won": "won"}, ["won", "Maybe", "*", None]),
        ({"Maybe": "", "*": "open"}, ["open", None, "open", None]),
    ],
)
def test_a_star_in_a_value_map_stands_for_every_other_value_that_is_there(
    values: dict[str, str], expected: list[str | None]
) -> None:
    text = text_sql(ColumnSpec(column="x", values=values), Resolver({"x": "cell"}, "_row"))
    with duckdb.connect() as con:
        cells = "(VALUES ('Won'), ('Maybe'), ('*'), (NULL)) AS t(cell)"
        found = con.execute(f"SELECT {text} FROM {cells}").fetchall()  # noqa: S608 - no cell is put into it
    assert [value for (value,) in found] == expected


@pytest.mark.parametrize(
    ("skip_empty", "expected"), [(True, ["1/2", "1", "2", None]), (False, ["1/2", None, None, None])]
)
def test_empty_parts_are_left_out_of_a_concat_that_skips_them(skip_empty: bool, expected: list[str | None]) -> None:
    spec = ColumnSpec(concat=("x", "y"), sep="/", skip_empty=skip_empty)
    text = text_sql(spec, Resolver({"x": "a", "y": "b"}, "_row"))
    with duckdb.connect() as con:
        pairs = "VALUES ('1', '2'), ('1', ''), (NULL, '2'), ('', NULL)"
        found = con.execute(f"SELECT {text} FROM ({pairs}) AS t(a, b)").fetchall()  # noqa: S608 - as above
    assert [value for (value,) in found] == expected
