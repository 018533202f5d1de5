"""Is what was imported plausible? Great Expectations at the batch boundary, Data Docs with counts and no values.

Great Expectations sees a sample as a pandas frame, because it cannot query DuckDB; what must hold in every row is
checked without it in `data.invariants`. An expectation that raised is a third state beside passed and failed.
"""
# ruff: noqa: S608 - only names of the contract are put into the SQL

from __future__ import annotations

import importlib
import os
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from data.derive import EmailKind, Seniority
from data.errors import InfrastructureError
from data.expressions import NON_NEGATIVE
from data.tables import TABLES, Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd

    from data.warehouse import Warehouse

__all__ = ["SAMPLE_ROWS", "CheckReport", "CheckResult", "Sample", "State", "check_frame", "check_warehouse"]

State = Literal["passed", "failed", "could_not_check"]
SAMPLE_ROWS = 200_000
_ALWAYS = frozenset({"leads", "outcomes"})  # a warehouse without these cannot be learnt from
_VALUES: dict[tuple[str, str], tuple[str, ...]] = {
    ("outcomes", "outcome"): ("won", "lost", "open"),
    ("leads", "seniority"): get_args(Seniority),
    ("leads", "email_domain_kind"): get_args(EmailKind),
}
_RANGES: dict[str, tuple[float, float | None]] = {
    **dict.fromkeys(NON_NEGATIVE, (0.0, None)),
    "contact_completeness": (0.0, 1.0),
    "founded_year": (1000.0, 2200.0),
}
# Counts only: no list of the values that were not expected, in the results or in the pages made from them.
_COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}


@dataclass(frozen=True)
class Sample:
    """How many rows of a table were looked at, of how many."""

    rows: int
    of: int


@dataclass(frozen=True)
class CheckResult:
    """What became of one expectation; `unexpected` counts the rows against it."""

    table: str
    expectation: str
    columns: tuple[str, ...]
    state: State
    unexpected: int


@dataclass(frozen=True)
class CheckReport:
    """All expectations, what they looked at, and the first page of the Data Docs."""

    results: tuple[CheckResult, ...]
    samples: Mapping[str, Sample]
    docs: Path | None = None

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The expectations that the rows do not meet."""
        return tuple(result for result in self.results if result.state == "failed")

    @property
    def unchecked(self) -> tuple[CheckResult, ...]:
        """The expectations that could not be checked: neither good news nor bad."""
        return tuple(result for result in self.results if result.state == "could_not_check")

    @property
    def passed(self) -> bool:
        """Whether every expectation was checked and met."""
        return not self.failed and not self.unchecked


def check_warehouse(warehouse: Warehouse, docs: Path | None = None) -> CheckReport:
    """Hold the tables of a warehouse against the expectations of the contract.

    A table with more than `SAMPLE_ROWS` rows is sampled (with a fixed seed), and the report says so. Personal columns
    are never fetched. Leads and outcomes are expected to have rows; other tables are looked at when they have some.

    Parameters
    ----------
    warehouse
        What to look at.
    docs
        A folder for Data Docs (HTML); none are written without it.

    Raises
    ------
    InfrastructureError
        If Great Expectations is not installed.
    """
    context = _context(docs)
    results: list[CheckResult] = []
    samples: dict[str, Sample] = {}
    counts = warehouse.counts()
    for name, table in TABLES.items():
        if not counts[name] and name not in _ALWAYS:
            continue
        frame = _fetch(warehouse, table, counts[name])
        samples[name] = Sample(len(frame), counts[name])
        results += _run(context, table, frame)
    if docs:
        # Once for all tables: built after each, the pages cost more than the checks.
        context.build_data_docs(site_names=["clew"])
    page = docs / "index.html" if docs else None
    return CheckReport(tuple(results), samples, page)


def check_frame(table: Table, frame: pd.DataFrame) -> tuple[CheckResult, ...]:
    """Hold one frame against the expectations of a table; times are whole microseconds."""
    return tuple(_run(_context(None), table, frame))


def _fetch(warehouse: Warehouse, table: Table, rows: int) -> pd.DataFrame:
    columns = ", ".join(
        f"epoch_us({column.name}) AS {column.name}" if column.kind == "time" else column.name
        for column in table.columns
        if not column.personal
    )
    sample = f" USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (7)" if rows > SAMPLE_ROWS else ""
    with warehouse.connect() as con:
        return con.execute(f"SELECT {columns} FROM {table.name}{sample}").df()


def _context(docs: Path | None) -> Any:  # noqa: ANN401 - a context of Great Expectations
    """Return a context that lives in memory, reports nothing to anybody and draws no bars."""
    gx = _library("great_expectations")
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = {"globally": False}
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        site = {"class_name": "SiteBuilder", "site_index_builder": index, "store_backend": store}
        context.add_data_docs_site(site_name="clew", site_config=site)
    return context


def _library(name: str) -> Any:  # noqa: ANN401 - the library exports its names implicitly
    """Import Great Expectations, or a part of it, with its analytics off and its old-fashioned imports tolerated."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read when the library is imported
    with warnings.catch_warnings(), _hidden("pyspark"):
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            raise InfrastructureError("checks need great-expectations", hint="install clew[train]") from None


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Let a package seem not to be installed.

    Great Expectations looks for PySpark, whose modules for its Connect server end the process without a word where
    gRPC is missing.
    """
    kept = {name: module for name, module in sys.modules.items() if name == package or name.startswith(f"{package}.")}
    for name in kept:
        del sys.modules[name]
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
        sys.modules.update(kept)


def _run(context: Any, table: Table, frame: pd.DataFrame) -> list[CheckResult]:  # noqa: ANN401
    gx = _library("great_expectations")
    suite = context.suites.add(gx.ExpectationSuite(name=table.name, expectations=_expectations(table)))
    asset = context.data_sources.add_pandas(f"warehouse_{table.name}").add_dataframe_asset(table.name)
    batch = asset.add_batch_definition_whole_dataframe("rows")
    definition = gx.ValidationDefinition(name=table.name, data=batch, suite=suite)
    definition = context.validation_definitions.add(definition)
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=table.name, validation_definitions=[definition], actions=[], result_format=_COUNTS_ONLY)
    )
    outcome = checkpoint.run(batch_parameters={"dataframe": frame})
    return [_result(table.name, result) for run in outcome.run_results.values() for result in run.results]


def _expectations(table: Table) -> list[Any]:
    """Return the suite of a table: rows at all, keys, filled columns, value sets, ranges, order of times."""
    gxe = _library("great_expectations.expectations")
    suite: list[Any] = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),  # an empty frame passes every other expectation
        gxe.ExpectColumnValuesToBeUnique(column=table.key[0])
        if len(table.key) == 1
        else gxe.ExpectCompoundColumnsToBeUnique(column_list=list(table.key)),
    ]
    for column in table.columns:
        suite += _of_column(table, column)
    pairs = [("recorded_at", "known_at")] + ([("known_at", table.happened)] if table.happened else [])
    suite += [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A=later, column_B=earlier, or_equal=True)
        for later, earlier in pairs
    ]
    return suite


def _of_column(table: Table, column: Column) -> list[Any]:
    gxe = _library("great_expectations.expectations")
    found: list[Any] = []
    if column.required:
        found.append(gxe.ExpectColumnValuesToNotBeNull(column=column.name))
    if (table.name, column.name) in _VALUES:
        allowed = list(_VALUES[table.name, column.name])
        found.append(gxe.ExpectColumnValuesToBeInSet(column=column.name, value_set=allowed))
    if column.name in _RANGES:
        low, high = _RANGES[column.name]
        found.append(gxe.ExpectColumnValuesToBeBetween(column=column.name, min_value=low, max_value=high))
    return found


def _result(table: str, result: Any) -> CheckResult:  # noqa: ANN401 - a result of Great Expectations
    config = result.expectation_config
    named = [config.kwargs.get(key) for key in ("column", "column_A", "column_B")]
    columns = tuple(name for name in named if name) or tuple(config.kwargs.get("column_list", ()))
    state: State = "could_not_check" if _raised(result.exception_info) else "passed" if result.success else "failed"
    unexpected = (result.result or {}).get("unexpected_count", 0)
    return CheckResult(table, config.type, columns, state, int(unexpected or 0))


def _raised(info: Mapping[str, Any]) -> bool:
    """Say whether an expectation raised; the library writes that flat, or once for each metric."""
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(isinstance(inner, dict) and inner.get("raised_exception") for inner in info.values())
