"""The scores of a batch as a file that a CRM takes: its own field names, and the reasons in words."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data.clock import from_us, iso
from data.files import written_whole

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from data.store.scores import Score
    from features.words import Language
    from serving.scoring.scorer import Scorer

__all__ = ["PRESETS", "Preset", "crm_file"]

_COLUMNS = (
    *("lead_id", "probability", "score", "grade", "pool", "priority", "respond_by", "holdout", "points", "reasons"),
    *("source", "bundle", "as_of"),
)
_TOP = 3
_Rows = Callable[[list[dict[str, Any]]], object]


@dataclass(frozen=True)
class Preset:
    """How a CRM calls the columns; own fields of clew, so that no value of a person or of the CRM is overwritten.

    `percent` says that the CRM shows a probability of 0.231 as 23.1.
    """

    lead_id: str
    pattern: str
    percent: bool = False

    def name(self, column: str) -> str:
        """Return the CRM's name of a column.

        Examples
        --------
        >>> PRESETS["salesforce"].name("as_of"), PRESETS["odoo"].name("lead_id")
        ('Clew_As_Of__c', 'id')
        """
        if column == "lead_id":
            return self.lead_id
        return self.pattern.format(column=column, Column="_".join(word.capitalize() for word in column.split("_")))


PRESETS: Mapping[str, Preset] = {
    "plain": Preset("lead_id", "{column}"),
    "salesforce": Preset("Id", "Clew_{Column}__c", percent=True),
    "hubspot": Preset("hs_object_id", "clew_{column}"),
    "dynamics": Preset("leadid", "clew_{column}"),
    "odoo": Preset("id", "x_clew_{column}", percent=True),
}


@contextmanager
def crm_file(
    out: Path | None, preset: Preset, scorer: Scorer, *, language: Language = "en"
) -> Iterator[Callable[[Sequence[Score]], None]]:
    """Give what takes scores and writes them to a CSV or Parquet file, which is there whole or not at all.

    Parameters
    ----------
    out
        The file; None to write nothing.
    preset
        Whose field names it has.
    scorer
        What gave the scores.
    language
        Of the reasons.

    Raises
    ------
    InfrastructureError
        If the file cannot be written.
    """
    if out is None:
        yield lambda _: None
        return
    with written_whole(out) as beside, _rows_to(beside, out.suffix, preset) as write:
        yield lambda scores: _pass(write([_row(scorer, score, preset, language) for score in scores]))


def _pass(_: object) -> None:
    """Drop what a writer returns."""


def _rows_to(path: Path, suffix: str, preset: Preset) -> AbstractContextManager[_Rows]:
    """Return a context that gives what writes rows as Parquet or CSV."""
    return _as_parquet(path, preset) if suffix == ".parquet" else _as_csv(path, preset)


@contextmanager
def _as_parquet(path: Path, preset: Preset) -> Iterator[_Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"probability": pa.float64(), "score": pa.int64(), "points": pa.int64(), "priority": pa.int64()}
    kinds["holdout"] = pa.bool_()
    schema = pa.schema([(preset.name(column), kinds.get(column, pa.string())) for column in _COLUMNS])
    with pq.ParquetWriter(path, schema) as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(rows, schema=schema))


@contextmanager
def _as_csv(path: Path, preset: Preset) -> Iterator[_Rows]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [preset.name(column) for column in _COLUMNS])
        writer.writeheader()
        yield lambda rows: writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)


def _plain(value: object) -> object:
    """Return a value as CRMs read it: true and false in lower case."""
    return str(value).lower() if isinstance(value, bool) else value


def _row(scorer: Scorer, score: Score, preset: Preset, language: Language) -> dict[str, Any]:
    """Return what the CRM is told of a lead, by the CRM's names."""
    bundle, chance = scorer.bundle, score.probability
    rules: Any = score.rules
    decided: Mapping[str, Any] = rules.get("handover", {})
    told: dict[str, Any] = {
        "lead_id": score.lead_id,
        "probability": chance if chance is None or not preset.percent else round(100 * chance, 4),
        "score": None if bundle is None or chance is None else bundle.score(chance),
        "grade": score.grade,
        "pool": score.pool,
        "priority": decided.get("priority"),
        "respond_by": decided.get("by"),
        "holdout": decided.get("holdout"),
        "points": rules["points"],
        "reasons": "; ".join(_reasons(scorer, score, language)),
        "source": score.source,
        "bundle": score.bundle,
        "as_of": iso(from_us(score.as_of_us)),
    }
    return {preset.name(column): told[column] for column in _COLUMNS}


def _reasons(scorer: Scorer, score: Score, language: Language) -> list[str]:
    """Return the strongest reasons in words, by the rules those that fired."""
    found: Any = score.reasons
    if scorer.bundle is None:
        rules: Any = score.rules
        return [f"+ {fired['rule']}" for fired in rules["fired"][:_TOP]]
    if language != "en":
        answer = scorer.bundle.answer_values(dict(score.features), profile_only=score.source == "model_profile")
        found, _ = scorer.teller.tell(answer, language)
    ranked = sorted(found, key=lambda reason: -abs(reason["logit"]))[:_TOP]
    return [f"{reason['direction']} {reason['text']}" for reason in ranked]
