"""From figures to a verdict: what only a leak can show, what is merely odd, and what clears a strong column.

A strong column is no leak for being strong. What makes one is that it holds what could not have been known: values of
certain winners, the closing date, or a filling that leads of the same age do not have while they are open. Thresholds
stand here, together, each with its reason; `docs/adr/0014-leak-finder.md` says how they were found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from training.leaks.lists import log_odds
from training.leaks.statistics import adjusted, at_least

if TYPE_CHECKING:
    from training.leaks.evidence import Evidence, Shifts, Subject
    from training.leaks.lists import Shift

__all__ = ["Judged", "Sign", "Verdict", "judge_all"]

Verdict = Literal["leak", "suspect", "clean", "cannot tell"]
Test = Literal["strength", "winners", "losers", "closing", "shift", "likeness", "distance", "moves", "timing"]
Weight = Literal["leak", "suspect", "note"]
Scope = Literal["whole", "young"]
_RANK: Mapping[str, int] = {"leak": 2, "suspect": 1, "note": 0}

# What a person understands at once comes first.
_TELLING: tuple[Test, ...] = (
    "winners",
    "closing",
    "timing",
    "shift",
    "losers",
    "likeness",
    "distance",
    "strength",
    "moves",
)

_SURE = 0.01  # of p-values made good for the number of columns
_FEWEST = 20  # wins and losses, and rows with a value

# Honest channels win far more often than others (a referral, a partner), up to odds of about 30 times the base.
_ODDS_LEAK, _ODDS_SUSPECT = 50.0, 25.0
_RATE_LEAK = 0.8
_NO_WINS = 1 / 15  # of the base rate
_NO_WINS_EXPECTED = 50
_NO_WINS_SHARE = 0.1  # of all losses
_AUC_NUMBERS, _AUC_CATEGORIES = 0.70, 0.75
# What a lead scoring model of all columns together hardly reaches.
_AUC_LEAK, _AUC_FINAL_LEAK, _AUC_SUSPECT = 0.90, 0.95, 0.85
_PREDICTS = 0.55
_CLOSING_LEAK, _CLOSING_SUSPECT = 0.70, 0.55
_DOUBLED, _TRIPLED, _TENFOLD = math.log(2), math.log(3), math.log(10)  # of the odds
_LIKE_LOSERS_LEAK, _LIKE_LOSERS_SUSPECT = 0.80, 0.70
_FAR = 0.4
_OVERWRITTEN = 0.2
_MOVED, _MOVED_MORE = 0.1, 5.0
_DECIDED, _OF_ONE_KIND = 0.9, 0.95
_SEEN = 5  # rows before the closing that show the event


@dataclass(frozen=True)
class Sign:
    """One thing that a test found: how much it weighs, which test, and how likely it is by chance."""

    weight: Weight
    test: Test
    kind: str
    shift: Shift | None = None
    scope: Scope = "whole"


@dataclass(frozen=True)
class Judged:
    """A verdict with its signs, the weightiest first; `cleared` says that today's open leads look as they should."""

    verdict: Verdict
    signs: tuple[Sign, ...]
    cleared: bool = False


def judge_all(
    evidence: Mapping[str, Evidence], subjects: Mapping[str, Subject], *, wins: int, losses: int, overwritten: float
) -> dict[str, Judged]:
    """Return the verdict of every subject; p-values are made good for the number of subjects, test by test.

    Parameters
    ----------
    evidence, subjects
        By name.
    wins, losses
        Labelled rows of each kind: too few of either and nothing can be told.
    overwritten
        Share of today's list that had closed when the data ended: such a list clears nobody.
    """
    chances: dict[Test, dict[str, float]] = {}
    for name, one in evidence.items():
        for test, p_value in _chances(one).items():
            chances.setdefault(test, {})[name] = p_value
    fixed = {test: adjusted(found) for test, found in chances.items()}
    found = {}
    for name, one in evidence.items():
        sure = {test for test, values in fixed.items() if values.get(name, 1.0) <= _SURE}
        found[name] = _judge(one, subjects[name], sure, few=min(wins, losses) < _FEWEST, overwritten=overwritten)
    return found


def _chances(one: Evidence) -> dict[Test, float]:
    """Return how likely each test's finding is where there is nothing."""
    found: dict[Test, float] = {
        "strength": min(one.auc.p_value, one.final.p_value if one.final else 1.0),
        "winners": one.winners.p_above(10.0),
        "losers": one.losers.p_below(0.2),
    }
    if one.closing is not None:
        found["closing"] = _tail((abs(one.closing[0]) - 0.4) / one.closing[1])
    shifts = [shift for scope in (one.whole, one.young) if scope for _, shift in scope.named()]
    if shifts:
        found["shift"] = min(1.0, 2 * len(shifts) * min(_tail(abs(shift.z)) for shift in shifts))
    if one.timing is not None and one.timing.leads:
        found["timing"] = at_least(one.timing.decided, one.timing.leads, 0.75)
    return found


def _judge(one: Evidence, subject: Subject, sure: set[Test], *, few: bool, overwritten: float) -> Judged:
    if one.constant:
        signs = _timing(one, sure)
        return Judged("suspect" if signs else "clean", tuple(signs))
    fresh = overwritten <= _OVERWRITTEN
    clear, surely = fresh and _cleared(one, 1.65), fresh and _cleared(one, 2.5)
    signs = [*_moved(one, subject, sure), *_distance(one, subject), *_likeness(one, subject)]
    if subject.stands:
        signs += [*_winners(one, sure), *_losers(one, subject, sure, clear=clear)]
        signs += [*_closing(one, sure), *_moves(one)]
    signs += [*_strength(one, subject, sure, clear=surely), *_timing(one, sure)]
    signs.sort(key=lambda sign: (-_RANK[sign.weight], _TELLING.index(sign.test)))
    weightiest = max((_RANK[sign.weight] for sign in signs), default=0)
    verdict: Verdict = {2: "leak", 1: "suspect", 0: "clean"}[weightiest]  # type: ignore[assignment]
    if few or (not weightiest and one.filled_rows < _FEWEST and one.timing is None):
        verdict = "cannot tell"
    return Judged(verdict, tuple(signs), cleared=clear)


def _predicts(one: Evidence, least: float) -> bool:
    return max(one.auc.low, one.final.low if one.final else 0.0) >= least


def _cleared(one: Evidence, least: float) -> bool:
    """Whether today's open leads hold the promising values as often as leads of their age did, and not as losers do.

    `least` is how many standard errors they have to be away from losers: only then could the two be told apart.
    """
    for _, scope in _scopes(one):
        shift = scope.telling
        if shift is not None and (abs(shift.z) < 2.5 or shift.beyond <= 0):
            away = (shift.today - shift.losers) / shift.error
            if away * math.copysign(1, shift.past - shift.losers) >= least:
                return True
    return False


def _common_today(one: Evidence) -> bool:
    """Whether the certain winners' values are as common among open leads as they were."""
    shift = one.whole.telltale if one.whole else None
    if shift is None:
        return False
    expected = shift.past / shift.error  # in standard errors: could its absence be seen at all?
    return expected >= 3 and shift.today >= 0.5 * shift.past


def _winners(one: Evidence, sure: set[Test]) -> list[Sign]:
    zone = one.winners
    if "winners" not in sure or zone.rows < _FEWEST // 2 or (one.shapes and not one.winning):
        return []
    if _common_today(one):
        return [Sign("note", "winners", "certain but common")]
    if zone.odds_ratio >= _ODDS_LEAK and zone.bounds()[0] >= _RATE_LEAK and zone.rows >= _FEWEST:
        return [Sign("leak", "winners", "certain winners")]
    return [Sign("suspect", "winners", "certain winners")] if zone.odds_ratio >= _ODDS_SUSPECT else []


def _losers(one: Evidence, subject: Subject, sure: set[Test], *, clear: bool) -> list[Sign]:
    zone = one.losers
    if "losers" not in sure or zone.expected < _NO_WINS_EXPECTED or zone.recall < _NO_WINS_SHARE:
        return []
    if zone.bounds()[1] > _NO_WINS * zone.base:
        return []
    numeric = subject.features[0].kind == "numeric" and subject.features[0].compute.how != "filled"
    if not _predicts(one, _AUC_NUMBERS if numeric else _AUC_CATEGORIES):
        return []
    return [Sign("note" if clear else "leak", "losers", "certain losers")]


def _strength(one: Evidence, subject: Subject, sure: set[Test], *, clear: bool) -> list[Sign]:
    if "strength" not in sure:
        return []
    beyond = one.auc.low >= _AUC_LEAK or (one.final is not None and one.final.low >= _AUC_FINAL_LEAK)
    if beyond:
        leak = subject.stands and (not clear or _predicts(one, _AUC_FINAL_LEAK))
        return [Sign("leak" if leak else "suspect", "strength", "too good")]
    if _predicts(one, _AUC_SUSPECT) and subject.stands and not clear:
        return [Sign("suspect", "strength", "very good")]
    return []


def _closing(one: Evidence, sure: set[Test]) -> list[Sign]:
    if one.closing is None or "closing" not in sure:
        return []
    least = abs(one.closing[0]) - 1.96 * one.closing[1]
    if least >= _CLOSING_LEAK:
        return [Sign("leak", "closing", "closing date")]
    return [Sign("suspect", "closing", "closing date")] if least >= _CLOSING_SUSPECT else []


def _moved(one: Evidence, subject: Subject, sure: set[Test]) -> list[Sign]:
    """Judge shares that today's leads do not have as leads of their age had."""
    if "shift" not in sure:
        return []
    signs = []
    # Dated events come and go with the business; what stands in a table has less reason to.
    least = _DOUBLED if subject.stands else _TRIPLED
    for scope, kind, shift in _named(one):
        telling = _predicts(one, _PREDICTS if subject.stands else _AUC_NUMBERS)
        if abs(shift.z) < 4 or shift.beyond < least or (kind == "telling" and not telling):
            continue
        weight: Weight = "leak" if telling or (subject.stands and _written(shift)) else "suspect"
        if _business(one, kind, shift):
            weight = "note"
        signs.append(Sign(weight, "shift", kind, shift, scope))
    return signs


def _named(one: Evidence) -> list[tuple[Scope, str, Shift]]:
    found: list[tuple[Scope, str, Shift]] = []
    for name, scope in _scopes(one):
        found += [(name, kind, shift) for kind, shift in scope.named()]
    return found


def _scopes(one: Evidence) -> list[tuple[Scope, Shifts]]:
    pairs: tuple[tuple[Scope, Shifts | None], ...] = (("young", one.young), ("whole", one.whole))
    return [(name, scope) for name, scope in pairs if scope is not None]


def _business(one: Evidence, kind: str, shift: Shift) -> bool:
    """Whether leads that came and closed lately changed alike.

    Where the business fills a column otherwise, everything about its values follows. Of the young too few close lately;
    then all ages speak for them, if they moved as well.
    """
    if shift.business or one.whole is None:
        return shift.business
    others = [one.whole.full] if kind != "full" or shift.lately is None else []
    others += [each for name, each in one.whole.named() if name == kind and shift.lately is None]
    return any(each.business and each.beyond >= _DOUBLED for each in others)


def _written(shift: Shift) -> bool:
    """Whether leads that came and closed lately hold it far more, or less, often than open leads of their age."""
    if shift.lately is None or shift.beside is None:
        return False
    return abs(log_odds(shift.lately, 100) - log_odds(shift.beside, 100)) >= _TENFOLD


def _likeness(one: Evidence, subject: Subject) -> list[Sign]:
    """Judge a strong column whose promising values open leads hold as losers do: no winners among them."""
    signs = []
    for name, scope in _scopes(one):
        shift = scope.telling
        if not subject.stands or shift is None or _business(one, "telling", shift):
            continue
        if abs(shift.today - shift.losers) > abs(shift.today - shift.past) and shift.today > shift.losers:
            continue
        # So strong a column is rare enough that a weaker sign will do.
        if _predicts(one, _LIKE_LOSERS_LEAK) and shift.z <= -2:
            signs.append(Sign("leak", "likeness", "telling", shift, name))
        elif _predicts(one, _LIKE_LOSERS_SUSPECT) and shift.z <= -1.65:
            signs.append(Sign("suspect", "likeness", "telling", shift, name))
    return signs[:1]


def _distance(one: Evidence, subject: Subject) -> list[Sign]:
    far = one.distance
    if far is None or not subject.stands or far.now < max(_FAR, 2 * far.usual + 0.1):
        return []
    business = one.whole is not None and any(shift.business and shift.beyond > 0 for _, shift in one.whole.named())
    if business:
        return [Sign("note", "distance", "far")]
    return [Sign("leak" if _predicts(one, 0.6) else "suspect", "distance", "far")]


def _moves(one: Evidence) -> list[Sign]:
    moves = one.moves
    if moves is None or moves.closed_moved < _FEWEST or not moves.closed:
        return []
    closed, still = moves.closed_moved / moves.closed, moves.open_moved / max(moves.open, 1)
    if closed < _MOVED or closed < _MOVED_MORE * still:
        return []
    return [Sign("suspect" if _predicts(one, _PREDICTS) else "note", "moves", "moves")]


def _timing(one: Evidence, sure: set[Test]) -> list[Sign]:
    timing = one.timing
    if timing is None or "timing" not in sure or timing.leads < _FEWEST or timing.decided < _DECIDED * timing.leads:
        return []
    won = timing.won / timing.decided
    kind = "won" if won >= _OF_ONE_KIND else "lost" if 1 - won >= _OF_ONE_KIND else ""
    if not kind or not _of_one_kind(one, kind):
        return []
    seen = one.filled_rows >= _SEEN and kind == "won"
    return [Sign("leak" if seen else "suspect", "timing", kind)]


def _of_one_kind(one: Evidence, kind: str) -> bool:
    """Whether the outcomes after the event are of one kind far beyond what the outcomes of all leads are."""
    timing, base = one.timing, one.winners.base
    assert timing is not None  # noqa: S101 - the caller has one
    if not 0 < base < 1:
        return True
    count = timing.won if kind == "won" else timing.lost
    rate = base if kind == "won" else 1 - base
    ceiling = 10 * rate / (1 - rate)
    return at_least(count, timing.decided, ceiling / (1 + ceiling)) <= _SURE


def _tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))
