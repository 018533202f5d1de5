"""The data contract holds together: keys, clocks, kinds, and where personal data may live."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from data.tables import CUSTOM_PREFIX, TABLES, Table, arrow_schema

EVERY = pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)


@EVERY
def test_every_table_has_both_clocks_last_and_required(table: Table) -> None:
    assert [column.name for column in table.columns[-2:]] == ["known_at", "recorded_at"]
    assert all(column.required and column.kind == "time" for column in table.columns[-2:])


@EVERY
def test_names_are_unique_and_plain_and_none_looks_like_a_customers_own(table: Table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) and not name.startswith(CUSTOM_PREFIX) for name in names)


@EVERY
def test_a_key_is_made_of_required_columns_of_the_table(table: Table) -> None:
    assert table.key
    assert all(table.column(name).required for name in table.key)
    assert not table.history or table.key[-1] == "known_at"


@EVERY
def test_what_happened_is_a_required_time(table: Table) -> None:
    if table.happened is not None:
        assert table.column(table.happened).kind == "time"
        assert table.column(table.happened).required


def test_personal_data_live_in_contacts_and_nowhere_else() -> None:
    personal = {(table.name, column.name) for table in TABLES.values() for column in table.columns if column.personal}
    assert personal == {("contacts", "name"), ("contacts", "email"), ("contacts", "phone")}


def test_an_unknown_column_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        TABLES["leads"].column("nothing")


@EVERY
def test_the_parquet_schema_has_every_column_and_times_in_utc(table: Table) -> None:
    schema = arrow_schema(table)
    assert schema.names == [column.name for column in table.columns]
    times = [schema.field(column.name).type for column in table.columns if column.kind == "time"]
    assert set(times) == {pa.timestamp("us", tz="UTC")}


def test_custom_columns_stand_last_in_leads_alone() -> None:
    custom = {"seats": "numeric", "erp": "categorical", "note": "text"}
    schema = arrow_schema(TABLES["leads"], custom)
    assert schema.names[-3:] == ["custom_erp", "custom_note", "custom_seats"]
    assert [schema.field(name).type for name in schema.names[-3:]] == [pa.string(), pa.string(), pa.float64()]
    assert arrow_schema(TABLES["events"], custom) == arrow_schema(TABLES["events"])


def test_the_contract_cannot_be_changed_at_run_time() -> None:
    with pytest.raises(TypeError):
        TABLES["more"] = TABLES["leads"]  # type: ignore[index]
