"""The data scientist's report of a run: everything that was judged, what drives wins, and what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.clock import from_us, iso
from training.evaluation.changes import Learnt, what_changed
from training.evaluation.drivers import measure_drivers
from training.evaluation.metrics import wilson
from training.evaluation.report import CheckLine, GradeLine, ReportContent
from training.evaluation.report_words import CHECKS, DECISIONS, REPORT
from training.evaluation.summary import caveats_in_words, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from features.words import Language
    from training.bundles.bundle import Bundle
    from training.evaluation.changes import Changed
    from training.evaluation.drivers import Drivers
    from training.evaluation.report import Picture
    from training.run import Trained

__all__ = ["Before", "RunFacts", "facts_of", "grade_lines", "run_report"]


@dataclass(frozen=True)
class Before:
    """The model that was served when a run began, and what it had learnt from as far as that was recorded."""

    bundle: Bundle
    learnt: Learnt


@dataclass(frozen=True)
class RunFacts:
    """What is worked out once a run and told in each language."""

    grades: tuple[GradeLine, ...]
    drivers: Drivers
    changed: Changed | None


def facts_of(trained: Trained, before: Before | None) -> RunFacts:
    """Work out grades, drivers and changes of a run.

    Parameters
    ----------
    trained
        The run.
    before
        The model before it; None for a first one.
    """
    judgement, bundle = trained.judgement, trained.bundle
    drivers = measure_drivers(bundle, judgement.frame)
    changed = None
    if before is not None and before.bundle.digest != bundle.digest:
        changed = what_changed(
            judgement.scoreboard,
            bundle,
            before.bundle,
            drivers=(drivers, measure_drivers(before.bundle, judgement.frame)),
            learnt=(Learnt(trained.counts.labelled, trained.counts.won), before.learnt),
        )
    return RunFacts(grade_lines(bundle, trained.judged_probabilities, judgement.y_obs), drivers, changed)


def grade_lines(bundle: Bundle, probabilities: NDArray[np.float64], y_obs: NDArray[np.int64]) -> tuple[GradeLine, ...]:
    """Return what each grade promised to judged rows and what came of them.

    Parameters
    ----------
    bundle
        Whose thresholds count.
    probabilities
        (n,) of the judged rows, each predicted out of time.
    y_obs
        (n,) outcomes, 0 or 1.
    """
    graded = np.array([bundle.grade(value) for value in probabilities.tolist()], object)
    lines = []
    for grade in bundle.grades:
        inside = graded == grade.grade
        rows, won = int(inside.sum()), int(y_obs[inside].sum())
        low, high = wilson(won, rows) if rows else (None, None)
        promised = float(probabilities[inside].mean()) if rows else None
        lines.append(GradeLine(grade.grade, grade.at_least, rows, promised, won, low, high))
    return tuple(lines)


def run_report(
    trained: Trained, facts: RunFacts, pictures: Sequence[Picture], *, language: Language = "en"
) -> ReportContent:
    """Return the content of a run's report in one language.

    Parameters
    ----------
    trained
        The run.
    facts
        Of `facts_of`.
    pictures
        Drawn in that language.
    language
        Of every word.
    """
    board, verdict = trained.judgement.scoreboard, trained.verdict
    return ReportContent(
        title=REPORT["title"].in_language(language),
        cutoff=iso(from_us(trained.cutoff_us)),
        summary=_data(trained, language),
        scoreboard=board,
        decision=DECISIONS[verdict.decision].in_language(language),
        headline=tuple(words.in_language(language) for words in summarise(board)),
        caveats=tuple(words.in_language(language) for words in caveats_in_words(board)),
        checks=tuple(CheckLine(CHECKS[check.name].in_language(language), check.passed) for check in verdict.checks),
        grades=facts.grades,
        drivers=facts.drivers,
        changed=facts.changed,
        compared=True,
        pictures=tuple(pictures),
        language=language,
    )


def _data(trained: Trained, language: Language) -> tuple[tuple[str, str], ...]:
    """Say what was learnt from, what was left out, and what the model is made of."""
    counts, choices, board = trained.counts, trained.judgement.choices, trained.judgement.scoreboard

    def line(name: str, **values: object) -> tuple[str, str]:
        told = REPORT[f"{name}_told"].in_language(language)
        return REPORT[name].in_language(language), told.format(**values)

    rate = f"{100 * counts.won / max(counts.labelled, 1):.1f} %"
    day = f"{from_us(trained.judgement.split.judge_from_us):%Y-%m-%d}"
    calibrator = choices.calibrator
    return (
        line("learnt", labelled=f"{counts.labelled:,}", won=f"{counts.won:,}", rate=rate),
        line("closed", closed=f"{counts.closed:,}", later=f"{counts.closed_but_not_known_then:,}"),
        line("young", young=f"{counts.immature:,}"),
        line("judged", n=f"{board.n:,}", wins=f"{board.wins:,}", day=day),
        line("horizon", days=f"{trained.plan.horizon_days:g}"),
        line("model", alpha=f"{choices.alpha:g}", strength=f"{choices.strength:g}", trees=choices.trees),
        line("calibration", a=f"{calibrator.a:.3f}", b=f"{calibrator.b:+.3f}"),
        (REPORT["bundle"].in_language(language), trained.bundle.digest),
    )
