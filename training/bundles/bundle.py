"""The sealed bundle, read: a folder of plain text and JSON that answers for a lead without mlflow, shap or pandas.

`Bundle.answer` is the whole model: facts in, calibrated log-odds with contributions and the rules' points out.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from data.errors import DataError
from features.catalogue import Catalogue
from features.memory import EventFact, LeadFacts, Values, evaluate
from features.scorecard import RulesResult, Scorecard
from training.bundles.one_lead import OneLead
from training.certainty.interval import IntervalTable
from training.certainty.likeness import Likeness
from training.learning.encoding import Encoding
from training.learning.linear import LinearPart
from training.learning.model import Calibrator, LinearTrees

__all__ = [
    "FORMAT",
    "LOGIT_BOUND",
    "Answer",
    "Bundle",
    "Grade",
    "SealedModel",
    "content_hash",
    "facts_from_json",
    "facts_to_json",
    "folder_name",
    "pointed_bundle",
]

FORMAT = 2
_FILES = frozenset(
    f"{name}.json"
    for name in ("catalogue", "scorecard", "quantiles", "grades", "golden", "model", "profile", "interval")
)
_TREE_FILES = frozenset({"model.trees.txt", "profile.trees.txt"})
_NAMED_BY_HASH = "sha256-"
# 0.1 % to 99.9 %: nobody is lost or won for certain, and 0 % or 100 % would be read that way.
LOGIT_BOUND = math.log(0.999 / 0.001)


class Grade(BaseModel):
    """A band of probability and what the judged leads in it really did; the interval is Wilson's, 95 %."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grade: str
    at_least: float
    judged: int
    won: int
    conversion: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SealedModel:
    """A model with its calibrator, as it lies in a bundle.

    `interval` is None where no range could be learnt, `likeness` where nobody looked at what is odd.
    """

    model: LinearTrees
    calibrator: Calibrator
    interval: IntervalTable | None = None
    likeness: Likeness | None = None

    def explain(self, matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Return (n, features) contributions to the calibrated log-odds, and the base they start from."""
        phi, base = self.model.contributions(matrix)
        return self.calibrator.a * phi, self.calibrator.a * base + self.calibrator.b

    def logit(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (n,) calibrated log-odds."""
        return self.calibrator.logit(self.model.margin(matrix))

    @cached_property
    def one_lead(self) -> OneLead:
        """The same for single leads, in microseconds."""
        return OneLead(self.model, self.calibrator)


@dataclass(frozen=True)
class Answer:
    """What a bundle says of one lead; `base_logit` and `groups` add up to `logit`.

    `contributions` are the groups' parts: features to log-odds. `unlike` says that the lead is unlike those that the
    model has learnt from.
    """

    source: Literal["model", "model_profile"]
    logit: float
    base_logit: float
    groups: Mapping[str, float]
    contributions: Mapping[str, float]
    values: Values
    unknown: tuple[str, ...]
    unlike: bool
    rules: RulesResult

    @property
    def bounded_logit(self) -> float:
        """The log-odds within 0.1 % and 99.9 %."""
        return min(max(self.logit, -LOGIT_BOUND), LOGIT_BOUND)

    @property
    def probability(self) -> float:
        """The calibrated probability, never certain."""
        return 1 / (1 + math.exp(-self.bounded_logit))


@dataclass(frozen=True)
class Bundle:
    """Everything that serving needs; `digest` is the hash of the content."""

    manifest: Mapping[str, Any]
    catalogue: Catalogue
    scorecard: Scorecard
    full: SealedModel
    profile: SealedModel
    quantiles: tuple[float, ...]
    grades: tuple[Grade, ...]
    golden: tuple[Mapping[str, Any], ...]
    digest: str
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle after checking the SHA-256 of every file.

        Raises
        ------
        DataError
            If a file is missing or changed, the manifest names another set of files than a bundle has or is not the
            one the folder is named after, or the format is another one. A damaged LightGBM file kills the process that
            reads it, so nothing is parsed before all hashes agree. Files that the manifest does not name are ignored.
        """
        manifest = _verified_manifest(folder)
        texts = {name: (folder / name).read_text("utf-8") for name in manifest["files"]}
        return cls(
            manifest=manifest,
            catalogue=Catalogue.model_validate_json(texts["catalogue.json"]),
            scorecard=Scorecard.model_validate_json(texts["scorecard.json"]),
            full=_read_model(texts, "model"),
            profile=_read_model(texts, "profile"),
            quantiles=tuple(json.loads(texts["quantiles.json"])),
            grades=tuple(Grade.model_validate(grade) for grade in json.loads(texts["grades.json"])),
            golden=tuple(json.loads(texts["golden.json"])),
            digest=content_hash(manifest),
            folder=folder,
        )

    def answer(self, facts: LeadFacts, as_of_us: int) -> Answer:
        """Return the answer for one lead; leads whose events are not known are answered by the profile-only model."""
        values = evaluate(self.catalogue, facts, as_of_us)
        return self.answer_values(values, profile_only=facts.events is None)

    def answer_values(self, values: Values, *, profile_only: bool = False) -> Answer:
        """Return the answer for features that are computed already."""
        sealed = self.profile if profile_only else self.full
        explained = sealed.one_lead(values)
        groups: dict[str, float] = {}
        for code, value in zip(sealed.model.encoding.codes, explained.phi, strict=True):
            groups[code.group] = groups.get(code.group, 0.0) + value
        return Answer(
            source="model_profile" if profile_only else "model",
            logit=explained.logit,
            base_logit=explained.base,
            groups=groups,
            contributions=dict(zip(sealed.model.encoding.names, explained.phi, strict=True)),
            values=values,
            unknown=explained.unknown,
            unlike=sealed.likeness is not None and sealed.likeness.unlike(explained.cells),
            rules=self.scorecard.evaluate(values),
        )

    def interval(self, logit: float, *, profile_only: bool = False, unlike: bool = False) -> tuple[float, float] | None:
        """Return the 90 % range for the win rate of leads scored like this, as probabilities.

        Parameters
        ----------
        logit
            The calibrated log-odds, within 0.1 % and 99.9 %: the probability lies in the range.
        profile_only
            Whether the model for leads whose events are not known answers.
        unlike
            Whether the lead is unlike those that the model has learnt from; its range is wider.

        Returns
        -------
        tuple of float or None
            None where no range could be learnt.
        """
        table = (self.profile if profile_only else self.full).interval
        if table is None:
            return None
        low, high = table.around(logit, unlike=unlike)
        return 1 / (1 + math.exp(-low)), 1 / (1 + math.exp(-high))

    def interval_of(self, answer: Answer) -> tuple[float, float] | None:
        """Return the range around an answer's probability."""
        profile_only = answer.source == "model_profile"
        return self.interval(answer.bounded_logit, profile_only=profile_only, unlike=answer.unlike)

    def score(self, probability: float) -> int:
        """Return 1 to 100: the percentile among the bundle's reference leads."""
        return min(1 + bisect_right(self.quantiles, probability), 100)

    def grade(self, probability: float) -> str:
        """Return the grade whose threshold the probability reaches."""
        return next((g.grade for g in self.grades if probability >= g.at_least), self.grades[-1].grade)

    def recheck(self) -> None:
        """Recompute the golden leads to 1e-9; that, not a hash of the code, decides whether a bundle fits the code.

        Raises
        ------
        DataError
            If one golden lead is answered otherwise than when the bundle was sealed, or there is none to answer.
        """
        if not self.golden:
            raise DataError(f"bundle {self.digest[:19]} holds no golden leads", hint="publish it again, or roll back")
        for number, golden in enumerate(self.golden):
            answer = self.answer(facts_from_json(golden["facts"]), golden["as_of_us"])
            told = golden["answer"]
            same = (
                abs(answer.logit - told["logit"]) <= 1e-9
                and abs(answer.base_logit - told["base_logit"]) <= 1e-9
                and answer.groups.keys() == told["groups"].keys()
                and all(abs(answer.groups[g] - told["groups"][g]) <= 1e-9 for g in told["groups"])
                and answer.rules.points == told["points"]
                and answer.unlike == told["unlike"]
                and _near(self.interval_of(answer), told["interval"])
            )
            if not same:
                raise DataError(
                    f"golden lead {number} of bundle {self.digest[:19]} is answered otherwise than when it was sealed",
                    hint="the code or a library has changed its meaning: retrain, or serve with the version of then",
                )


def _near(found: Sequence[float] | None, told: Sequence[float] | None) -> bool:
    if found is None or told is None:
        return found is told
    return all(abs(one - other) <= 1e-9 for one, other in zip(found, told, strict=True))


def content_hash(manifest: Mapping[str, Any]) -> str:
    """Return the hash of a bundle: of its manifest, which holds the hash of every file."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def folder_name(digest: str) -> str:
    """Return the name of the folder in which a bundle of that hash is published.

    Examples
    --------
    >>> folder_name("sha256:0123")
    'sha256-0123'
    """
    return digest.replace(":", "-")


def _verified_manifest(folder: Path) -> Mapping[str, Any]:
    hint = "publish it again, or roll back"
    try:
        manifest: Mapping[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        files: Mapping[str, str] = manifest["files"]
        if manifest["format"] != FORMAT:
            raise DataError(
                f"the bundle has format {manifest['format']!r}, this version reads {FORMAT}", hint="retrain"
            )
        named = set(files)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"the bundle's manifest.json cannot be read ({type(error).__name__})", hint=hint) from None
    # A closed list: no name can lead out of the folder, and nothing can be slipped in.
    if not isinstance(files, dict) or not _FILES <= named <= _FILES | _TREE_FILES:
        raise DataError("the bundle's manifest names other files than a bundle has", hint=hint)
    if folder.name.startswith(_NAMED_BY_HASH) and folder.name != folder_name(content_hash(manifest)):
        raise DataError("the bundle's manifest.json is not the one that its folder is named after", hint=hint)
    for name, told in files.items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError:
            raise DataError(f"the bundle's file {name} cannot be read", hint=hint) from None
        if found != told:
            raise DataError(f"the bundle's file {name} has been changed or damaged", hint=hint)
    return manifest


def _read_model(texts: Mapping[str, str], name: str) -> SealedModel:
    import lightgbm

    told = json.loads(texts[f"{name}.json"])
    sure = json.loads(texts["interval.json"])[name]
    linear = told["linear"]
    trees = texts.get(f"{name}.trees.txt")
    model = LinearTrees(
        encoding=Encoding.model_validate(told["encoding"]),
        linear=LinearPart(np.asarray(linear["weights"]), linear["intercept"], np.asarray(linear["centres"])),
        alpha=told["alpha"],
        base=told["base"],
        trees=None if trees is None else lightgbm.Booster(model_str=trees),
    )
    return SealedModel(
        model,
        Calibrator(**told["calibrator"]),
        None if sure["interval"] is None else IntervalTable.model_validate(sure["interval"]),
        None if sure["likeness"] is None else Likeness.model_validate(sure["likeness"]),
    )


def pointed_bundle(bundles: Path, pointer: str = "current") -> Path | None:
    """Return the folder a pointer names, or None where there is none."""
    try:
        name = (bundles / pointer).read_text("utf-8").strip()
    except (OSError, ValueError):
        return None
    # A name, never a way out of the folder.
    target = bundles / name
    return target if name and target.parent == bundles and name != ".." and target.is_dir() else None


def facts_to_json(facts: LeadFacts) -> dict[str, Any]:
    """Return facts as plain JSON values."""
    return {
        "created_us": facts.created_us,
        "lead": dict(facts.lead),
        "account": None if facts.account is None else dict(facts.account),
        "events": None if facts.events is None else [list(event) for event in facts.events],
        "account_events": None if facts.account_events is None else [list(event) for event in facts.account_events],
    }


def facts_from_json(told: Mapping[str, Any]) -> LeadFacts:
    """Return the facts that `facts_to_json` wrote."""

    def events(rows: list[list[Any]] | None) -> tuple[EventFact, ...] | None:
        return None if rows is None else tuple(EventFact(*row) for row in rows)

    return LeadFacts(
        created_us=told["created_us"],
        lead=told["lead"],
        account=told["account"],
        events=events(told["events"]),
        account_events=events(told["account_events"]),
    )
