"""The evidence in words: one or two plain sentences a finding, with its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.leaks.lists import YOUNG_DAYS

if TYPE_CHECKING:
    from training.leaks.evidence import Evidence, Subject
    from training.leaks.lists import Shift
    from training.leaks.statistics import Zone
    from training.leaks.verdicts import Judged, Sign

__all__ = ["percent", "words_of"]

_LONGEST = 40
_MOST = 3


def words_of(subject: Subject, one: Evidence, judged: Judged) -> tuple[str, ...]:
    """Return the sentences that carry a verdict, the weightiest first; a clean column says why it is."""
    told: list[str] = []
    for sign in judged.signs:
        text = _told(sign, subject, one)
        if text not in told and (judged.verdict not in {"leak", "suspect"} or sign.weight != "note"):
            told.append(text)
    if judged.verdict == "cannot tell":
        told.insert(0, f"Too few leads to tell: {one.filled_rows:,} rows have a value.")
    if not told or judged.verdict == "clean":
        told.insert(0, _plain(one, judged))
    return tuple(told[:_MOST])


def percent(share: float) -> str:
    """Write a share so that only none is 0 % and only all is 100 %.

    Examples
    --------
    >>> percent(0.0), percent(0.003), percent(0.25), percent(0.999)
    ('0 %', '0.3 %', '25 %', '99.9 %')
    """
    share = round(share, 9)  # a weighted mean of ones is one but for rounding
    digits = 1 if 0 < share < 0.02 or 0.98 < share < 1 else 0
    text = f"{100 * share:.{digits}f}"
    if 0 < share < 1 and float(text) in {0.0, 100.0}:
        return "<0.1 %" if share < 0.5 else ">99.9 %"
    return f"{text} %"


def _plain(one: Evidence, judged: Judged) -> str:
    if one.constant:
        return "The same for every lead."
    text = f"Alone it ranks wins with an AUC of {one.auc.value:.2f} ({one.auc.low:.2f} to {one.auc.high:.2f})"
    shift = (one.young or one.whole).full if (one.young or one.whole) else None  # type: ignore[union-attr]
    if shift is None:
        return f"{text}; there are too few open leads to compare with."
    whose = f"leads of at most {YOUNG_DAYS} days" if one.young else "open leads"
    like = ", and its values are as they were" if judged.cleared else ""
    return (
        f"{text}; it is filled for {percent(shift.today)} of today's {whose}, {percent(shift.past)} in the past{like}."
    )


def _told(sign: Sign, subject: Subject, one: Evidence) -> str:
    if sign.shift is not None:
        return _of_shift(sign, sign.shift)
    if sign.test in {"winners", "losers"}:
        return _of_zone(sign, one)
    return _of_timing(subject, one) if sign.test == "timing" else _of_column(sign, one)


def _of_column(sign: Sign, one: Evidence) -> str:
    if sign.test == "closing" and one.closing:
        return (
            f"It knows when a lead closes: its rank correlation with the time to the closing is {one.closing[0]:.2f}, "
            "which nobody knew at creation."
        )
    if sign.test == "distance" and one.distance:
        return (
            f"Today's open leads have other values than leads of their age had: {percent(one.distance.now)} of the "
            f"shares moved, usual are up to {percent(one.distance.usual)}."
        )
    if sign.test == "moves" and one.moves:
        closed, still = one.moves.closed_moved / max(one.moves.closed, 1), one.moves.open_moved / max(one.moves.open, 1)
        return (
            f"It changes at the closing: for {percent(closed)} of the closed leads from a day before to a week after, "
            f"for {percent(still)} of the open ones in as long a time."
        )
    final = f", and leads won from leads lost with {one.final.value:.2f}" if one.final else ""
    return (
        f"Alone it ranks wins with an AUC of {one.auc.value:.2f} (from {one.auc.low:.2f}){final}: more than all honest "
        "columns together usually reach."
    )


def _of_zone(sign: Sign, one: Evidence) -> str:
    zone: Zone = one.winners if sign.test == "winners" else one.losers
    values = one.winning if sign.test == "winners" else one.losing
    kind = "built like" if one.shapes else "with"
    # Values that few leads share may be about a person; they are counted and not told.
    named = ", ".join(f"“{value[:_LONGEST]}”" for value in values) or "certain rare values"
    text = f"Of {zone.rows:,} closed leads {kind} {named} {zone.wins:,} were won, against {percent(zone.base)} of all"
    return f"{text}; open leads have such values as often as before." if sign.weight == "note" else f"{text}."


def _of_shift(sign: Sign, shift: Shift) -> str:
    what = {
        "full": "It is filled for",
        "telling": "Its most promising values are held by",
        "telltale": "Values of certain winners are held by",
    }[sign.kind]
    whose = f"open leads of at most {YOUNG_DAYS} days" if sign.scope == "young" else "open leads"
    text = (
        f"{what} {percent(shift.today)} of today's {whose}; of leads photographed at the same ages in the past, most "
        f"of which have closed since, {percent(shift.past)} hold {'one' if sign.kind == 'full' else 'them'} now"
    )
    if sign.test == "likeness":
        return f"{text}, and of those that did not win {percent(shift.losers)}: today's look like losers."
    if shift.business and shift.lately is not None:
        return (
            f"{text}; leads that came and closed lately changed alike ({percent(shift.lately)}), so the business did."
        )
    return f"{text}."


def _of_timing(subject: Subject, one: Evidence) -> str:
    timing = one.timing
    if timing is None:
        return ""
    days = timing.window_us / 86_400_000_000
    side = max((timing.won, "won"), (timing.lost, "lost"))[1]
    when = "at or after the closing" if timing.after >= 0.9 * timing.decided else f"within {days:g} days of the closing"
    seen = "" if one.filled_rows else " No training row has seen it, as closed leads are never photographed."
    name = (subject.event_type or "")[:_LONGEST]
    return (
        f"“{name}” is the outcome itself: of {timing.leads:,} leads {timing.decided:,} had it {when}, "
        f"{percent(max(timing.won, timing.lost) / max(timing.decided, 1))} of them {side}.{seen}"
    )
