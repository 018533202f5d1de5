"""One lead in, the answer out: probability, reasons and the rules beside them. Knows nothing of the web.

`score` is a pure function of the request, the bundle and `as_of`: it reads no clock, no store and no file.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from data.clock import from_us, iso
from data.errors import DataError
from data.holdout import NOBODY, HoldOut
from features.catalogue import WINDOWS_DAYS, build_catalogue
from features.definitions import AccountAttribute, Catalogue, Filled, LeadAttribute, Touch
from features.memory import Evaluator
from features.words import EVENT_TYPES
from serving.http.problems import PayloadError
from serving.scoring.facts import custom_kinds, to_facts
from serving.scoring.handover import HandOver
from serving.scoring.notices import Notice, tell
from serving.scoring.payload import ScoreRequest, parse_item
from serving.scoring.reasons import ReasonTeller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from features.memory import LeadFacts, Values
    from features.scorecard import Condition, RulesResult, Scorecard
    from features.words import Language
    from training.bundles.bundle import Answer, Bundle

__all__ = ["Scorer", "Told", "rules_catalogue"]


@dataclass(frozen=True)
class _Identity:
    """What every answer of a bundle repeats about it."""

    told: dict[str, Any]
    horizon_days: float | None
    little_data: bool


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, ready for JSON, and what it was given from: the moment, the features, what the model said of them."""

    body: dict[str, Any]
    as_of_us: int
    values: Values
    answer: Answer | None  # None where the rules answered


class Scorer:
    """Answers for leads from a bundle or, without one, from the rules alone.

    Parameters
    ----------
    bundle
        The sealed model, or None.
    fallback
        The scorecard that answers where there is no bundle; a bundle brings its own.
    timezone
        IANA zone in which days are counted without a bundle; a bundle brings its own.
    holdout
        Which leads are handed over by lot instead of by score.

    Examples
    --------
    >>> from features.scorecard import load_scorecard
    >>> from serving.scoring.payload import parse_request
    >>> request = parse_request(b'{"lead": {"lead_id": "L-1", "account": {"employees": 800}}}')
    >>> answer = Scorer(None, load_scorecard()).score(request, as_of_us=0)
    >>> answer["source"], answer["probability"], answer["rules"]["points"]
    ('rules', None, 30)
    """

    def __init__(
        self, bundle: Bundle | None, fallback: Scorecard, *, timezone: str = "UTC", holdout: HoldOut = NOBODY
    ) -> None:
        self.bundle = bundle
        self.scorecard = fallback if bundle is None else bundle.scorecard
        self.catalogue = rules_catalogue(fallback, timezone=timezone) if bundle is None else bundle.catalogue
        self._custom = custom_kinds(self.catalogue)
        self.teller = ReasonTeller(self.catalogue)
        self._evaluator = Evaluator(self.catalogue)
        self._identity = None if bundle is None else _identity(bundle)
        self._fields = _request_fields(self.catalogue)
        self.holdout = holdout
        grades = () if bundle is None else [band.grade for band in bundle.grades]
        self.hand_over = HandOver(self.scorecard, grades, holdout)

    @property
    def model(self) -> dict[str, Any] | None:
        """Name, version, digest and cutoff of the model; None where the rules answer."""
        return None if self._identity is None else self._identity.told

    @property
    def horizon_days(self) -> float | None:
        """The horizon of the probability; None where the rules answer."""
        return None if self._identity is None else self._identity.horizon_days

    def score(self, request: ScoreRequest, *, as_of_us: int, language: Language = "en") -> dict[str, Any]:
        """Return the answer for one lead, ready for JSON.

        Parameters
        ----------
        request
            The checked request.
        as_of_us
            The moment of the prediction where the request names none, in microseconds UTC.
        language
            Of reasons and warnings.

        Raises
        ------
        PayloadError
            If the facts contradict each other or the catalogue; the field is named.
        """
        return self.told(request, as_of_us=as_of_us, language=language).body

    def told(self, request: ScoreRequest, *, as_of_us: int, language: Language = "en") -> Told:
        """Return the answer for one lead as `score`, with what it was given from.

        Raises
        ------
        PayloadError
            If the facts contradict each other or the catalogue; the field is named.
        """
        as_of_us = as_of_us if request.as_of is None else request.as_of
        facts, notices = to_facts(request, as_of_us, custom=self._custom)
        return self.told_of(request.lead.lead_id, facts, as_of_us=as_of_us, language=language, notices=notices)

    def told_of(
        self,
        lead_id: str,
        facts: LeadFacts,
        *,
        as_of_us: int,
        language: Language = "en",
        notices: Sequence[Notice] = (),
    ) -> Told:
        """Return the answer for one lead from what is known of it, with what it was given from.

        Parameters
        ----------
        lead_id
            The lead.
        facts
            What was known of it, from `serving.scoring.facts.to_facts` or `features.facts.facts_as_of`.
        as_of_us
            The moment of the prediction, in microseconds UTC.
        language
            Of reasons and warnings.
        notices
            What the answer should warn of besides.
        """
        notices = list(notices)
        values = self._evaluator(facts, as_of_us)
        head = {"lead_id": lead_id, "as_of": iso(from_us(as_of_us))}
        if self.bundle is None:
            answer, rules = None, self.scorecard.evaluate(values)
            decided = self.hand_over(lead_id, rules, None, as_of_us=as_of_us, language=language)
            body = head | _rules_only(rules, decided, tell(notices, language))
        else:
            answer = self.bundle.answer_values(values, profile_only=facts.events is None)
            grade = self.bundle.grade(answer.probability)
            decided = self.hand_over(lead_id, answer.rules, grade, as_of_us=as_of_us, language=language)
            body = head | self._model_answer(self.bundle, answer, decided, notices, language)
        return Told(body, as_of_us, values, answer)

    def score_many(
        self, items: Sequence[object], *, as_of_us: int, language: Language = "en"
    ) -> list[dict[str, Any] | PayloadError]:
        """Return for each unchecked item, in order, its answer or what is wrong with it; one never harms another."""
        found: list[dict[str, Any] | PayloadError] = []
        for position, item in enumerate(items):
            try:
                found.append(self.score_item(item, position, as_of_us=as_of_us, language=language))
            except PayloadError as error:
                found.append(error)
        return found

    def score_item(self, item: object, position: int, *, as_of_us: int, language: Language = "en") -> dict[str, Any]:
        """Return the answer for one unchecked item of a batch, as `told_item`."""
        return self.told_item(item, position, as_of_us=as_of_us, language=language).body

    def told_item(self, item: object, position: int, *, as_of_us: int, language: Language = "en") -> Told:
        """Return the answer for one unchecked item of a batch, with what it was given from.

        Raises
        ------
        PayloadError
            If it breaks the contract; problems name its place, such as `leads.3.lead.lead_id`.
        """
        request = parse_item(item, position)
        try:
            return self.told(request, as_of_us=as_of_us, language=language)
        except PayloadError as error:
            raise error.below(f"leads.{position}") from None

    def _reasons(
        self, answer: Answer, language: Language, notices: list[Notice]
    ) -> tuple[list[dict[str, Any]] | None, float]:
        """Return reasons and remainder; where the reasons cannot be told, the remainder is all of the log-odds."""
        try:
            return self.teller.tell(answer, language)
        except Exception:  # noqa: BLE001 - a score without words is worth more than none
            notices.append(Notice("reasons_failed", "reasons"))
            return None, answer.bounded_logit - answer.base_logit

    def _model_answer(
        self, bundle: Bundle, answer: Answer, decided: dict[str, Any], notices: list[Notice], language: Language
    ) -> dict[str, Any]:
        reasons, remainder = self._reasons(answer, language, notices)
        probability = answer.probability
        grade = bundle.grade(probability)
        notices = notices + [Notice("unknown_category", self._fields[name]) for name in answer.unknown]
        if answer.unlike:
            notices.append(Notice("unlike_training"))
        if self._identity is not None and self._identity.little_data:
            notices.append(Notice("little_data"))
        if not math.isfinite(remainder):
            # JSON has no such number, and whoever reads the answer has no use for it.
            raise ArithmeticError("the model gave a number that is not finite")
        around = bundle.interval_of(answer)
        return {
            "horizon_days": self.horizon_days,
            "source": answer.source,
            "probability": probability,
            "interval": None if around is None else list(around),
            "score": bundle.score(probability),
            "grade": grade,
            "base_logit": answer.base_logit,
            "remainder_logit": remainder,
            "reasons": reasons,
            "rules": _rules(answer.rules),
            "agreement": self.hand_over.agreement(grade, answer.rules.pool),
            "handover": decided,
            "warnings": tell(notices, language),
            "model": self.model,
        }


def _rules(result: RulesResult) -> dict[str, Any]:
    return {
        "points": result.points,
        "pool": result.pool,
        "assign_within_minutes": result.assign_within_minutes,
        "fired": [{"rule": rule.rule, "points": rule.points} for rule in result.fired],
    }


def _rules_only(result: RulesResult, decided: dict[str, Any], warnings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer where there is no model: its fields are null, and the source says why."""
    model_fields = ("probability", "interval", "score", "grade", "base_logit", "remainder_logit", "reasons")
    return {
        "horizon_days": None,
        "source": "rules",
        **dict.fromkeys(model_fields),
        "rules": _rules(result),
        "agreement": None,
        "handover": decided,
        "warnings": warnings,
        "model": None,
    }


def _identity(bundle: Bundle) -> _Identity:
    manifest = bundle.manifest
    told = {
        "name": manifest.get("name"),
        "version": _version(bundle),
        "bundle": bundle.digest,
        "cutoff": manifest.get("cutoff"),
    }
    horizon = manifest.get("horizon_days")
    whole = isinstance(horizon, float) and horizon.is_integer()
    return _Identity(told, int(horizon) if whole else horizon, bool(manifest.get("little_data")))  # type: ignore[arg-type]


def _version(bundle: Bundle) -> str | None:
    """Return the registry's version from `publication.json`, which lies beside the hashed content."""
    try:
        version = json.loads((bundle.folder / "publication.json").read_text("utf-8")).get("version")
    except (OSError, ValueError, AttributeError):
        return None
    return None if version is None else str(version)


def _request_fields(catalogue: Catalogue) -> dict[str, str]:
    """Return for each feature that can be a category the field of the request it comes from."""
    found = {}
    for feature in catalogue.features:
        compute = feature.compute
        if isinstance(compute, AccountAttribute):
            found[feature.name] = f"lead.account.{compute.column}"
        elif isinstance(compute, LeadAttribute | Filled):
            derived = {"seniority": "job_title", "email_domain_kind": "contact.email"}
            column = derived.get(compute.column, compute.column).replace("custom_", "custom.", 1)
            found[feature.name] = f"lead.{column}"
        elif isinstance(compute, Touch):
            found[feature.name] = "events.channel"
    return found


def rules_catalogue(scorecard: Scorecard, *, timezone: str = "UTC") -> Catalogue:
    """Return the catalogue of just the features that a scorecard reads, for when no bundle brings one.

    Event types and customer columns are told from the features' names.

    Raises
    ------
    DataError
        If a rule reads what no standard feature is called.

    Examples
    --------
    >>> from features.scorecard import load_scorecard
    >>> rules_catalogue(load_scorecard()).names
    ('seniority', 'industry', 'employees', 'whitepaper_downloads_30d')
    """
    read = scorecard.features()
    custom = {
        name.removeprefix("custom_"): _custom_kind(scorecard, name) for name in read if name.startswith("custom_")
    }
    standard = build_catalogue(event_types=EVENT_TYPES, custom=custom, timezone=timezone)
    stems = {_stem(name) for name in read - set(standard.names)}
    whole = build_catalogue(event_types={*EVENT_TYPES, *filter(None, stems)}, custom=custom, timezone=timezone)
    lost = sorted(read - set(whole.names))
    if lost:
        raise DataError(f"scorecard {scorecard.name!r} reads {', '.join(lost)}, which are no features")
    return whole.keep(read)


def _stem(name: str) -> str | None:
    windows = "|".join(f"{days}d" for days in WINDOWS_DAYS)
    match = re.fullmatch(rf"(.+)_(?:{windows}|days_since)", name)
    return match[1] if match else None


def _custom_kind(scorecard: Scorecard, name: str) -> Literal["numeric", "categorical"]:
    """Say numeric where some rule compares the column with a number."""
    pending: list[Condition] = [rule.when for rule in scorecard.rules]
    while pending:
        condition = pending.pop()
        pending += [*(condition.any_ or ()), *(condition.all_ or ()), *((condition.not_,) if condition.not_ else ())]
        numbers = [bound for _, bound in condition.compared if isinstance(bound, int | float)]
        if condition.feature == name and numbers:
            return "numeric"
    return "categorical"
