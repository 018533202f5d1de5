"""A card goes to each target once: tried again while that can help, noted before and after, never sent twice.

The platforms know no key by which they would drop a repeated message, so the note does: `monitoring/cards/` of the home
folder holds one file for each report and target. A try that began and whose answer nobody saw may have been taken; it
is not repeated by itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from data.clock import from_us, iso, now, to_us
from data.errors import InfrastructureError
from data.files import written_whole
from monitoring.cards.platforms import judge, message_for
from monitoring.cards.posting import Lost, post

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from monitoring.cards.card import Card
    from monitoring.cards.platforms import Verdict
    from monitoring.cards.posting import Post, Trouble
    from monitoring.cards.targets import Target

__all__ = ["Attempt", "DeliveryError", "Patience", "Sent", "State", "raise_undelivered", "send_card"]

State = Literal["delivered", "failed", "refused", "uncertain"]
_SENDING: Literal["sending"] = "sending"
# What ends the tries. Where no answer came the card may be in the group already: a second one would be one too many.
_ENDS: Mapping[str, State] = MappingProxyType(
    {"delivered": "delivered", "refused": "refused", "no_answer": "uncertain"}
)


class DeliveryError(InfrastructureError):
    """A card that did not arrive; the report itself is there."""


@dataclass(frozen=True)
class Patience:
    """How often and after how many seconds a card is tried again.

    Waits grow by a factor and are scattered; a platform that says "too often" is left alone for `throttled_s` at least,
    as WeCom and DingTalk count 20 messages a minute and Feishu 100.

    Examples
    --------
    >>> [Patience(scatter=0.0).wait_s(tries, throttled=False, drawn=0.5) for tries in (1, 2, 3, 4, 5)]
    [2.0, 6.0, 18.0, 54.0, 120.0]
    >>> Patience(scatter=0.0).wait_s(1, throttled=True, drawn=0.5)
    60.0
    """

    tries: int = 6
    first_s: float = 2.0
    factor: float = 3.0
    most_s: float = 120.0
    throttled_s: float = 60.0
    scatter: float = 0.3

    def wait_s(self, tries: int, *, throttled: bool, drawn: float, asked_s: float | None = None) -> float:
        """Return the seconds to wait after so many failed tries; `drawn` from [0, 1) scatters them."""
        wait = min(self.first_s * self.factor ** (tries - 1), self.most_s)
        wait = max(wait, self.throttled_s) if throttled else wait
        return max(wait * (1 + self.scatter * drawn), min(asked_s or 0.0, self.most_s))


@dataclass(frozen=True)
class Attempt:
    """One try: when, microseconds UTC, and in a word how it ended."""

    at_us: int
    ended: str


@dataclass(frozen=True)
class Sent:
    """What became of a card at a target; `fresh` is False where an earlier run had delivered it."""

    target: str
    platform: str
    state: State
    attempts: tuple[Attempt, ...]
    fresh: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        told = [{"at": iso(from_us(one.at_us)), "ended": one.ended} for one in self.attempts]
        return {**vars(self), "attempts": told}


def send_card(
    card: Card,
    target: Target,
    *,
    folder: Path,
    rng: np.random.Generator,
    patience: Patience | None = None,
    again: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    poster: Post = post,
) -> Sent:
    """Send a card to a target, unless its report went there before.

    Parameters
    ----------
    card
        In the target's language.
    target
        Where it goes.
    folder
        Where notes are kept.
    rng
        Scatters the waits.
    patience
        How often, and how long in between.
    again
        Send also what was delivered, or may have been.
    sleep, poster
        Waiting and posting.

    Raises
    ------
    InfrastructureError
        If another run is sending, or the note cannot be written.
    """
    patient = patience or Patience()
    note = _Note(folder / f"{_safe(card.report)}--{_safe(target.name)}.json", card.report, target)
    with _alone(folder):
        before = None if again else note.read()
        if before is not None and before.state in {"delivered", "uncertain"}:
            return before
        attempts: list[Attempt] = []
        for tries in range(1, patient.tries + 1):
            note.write(_SENDING, attempts)
            verdict, attempt, asked_s = _try(card, target, poster)
            attempts.append(attempt)
            state = _ENDS.get(verdict)
            if state is not None:
                return note.write(state, attempts)
            note.write("failed", attempts)
            if tries < patient.tries:
                throttled = verdict == "throttled"
                sleep(patient.wait_s(tries, throttled=throttled, drawn=float(rng.random()), asked_s=asked_s))
        return note.write("failed", attempts)


def raise_undelivered(sent: Sequence[Sent]) -> None:
    """Say which cards did not arrive, if any.

    Raises
    ------
    DeliveryError
        If one was not taken, or nobody knows whether it was.
    """
    missing = [one for one in sent if one.state != "delivered"]
    if not missing:
        return
    told = "; ".join(
        f"{one.target}: {one.state} after {len(one.attempts)} tries, last {one.attempts[-1].ended}" for one in missing
    )
    hint = "run the command again, it sends only what is missing"
    if any(one.state == "refused" for one in missing):
        hint = "look at the robot: its address, its secret, its keyword and the addresses it lets in"
    elif all(one.state == "uncertain" for one in missing):
        hint = "look into the group whether the card is there; --again sends it in any case"
    raise DeliveryError(f"{len(missing)} of {len(sent)} cards did not arrive: {told}", hint=hint)


def _try(card: Card, target: Target, poster: Post) -> tuple[Verdict | Trouble, Attempt, float | None]:
    """Post once and return what came of it; signed anew, as a signature ages."""
    at_us = to_us(now())
    message = message_for(target.platform, card, secret=target.secret, at_ms=at_us // 1000)
    try:
        reply = poster(target.address, message)
    except Lost as lost:
        return lost.trouble, Attempt(at_us, lost.trouble), None
    verdict, word = judge(target.platform, reply)
    return verdict, Attempt(at_us, word), reply.asked_s


@dataclass(frozen=True)
class _Note:
    """The file that remembers what became of a report at a target; it holds no address."""

    path: Path
    report: str
    target: Target

    def read(self) -> Sent | None:
        """Return what an earlier run noted, None where there was none."""
        try:
            told = json.loads(self.path.read_text("utf-8"))
            attempts = tuple(Attempt(int(one["at_us"]), str(one["ended"])) for one in told["attempts"])
            state = str(told["state"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            # A note that cannot be read may be that of a delivery.
            return self._sent("uncertain", (Attempt(0, "the note of it is damaged"),), fresh=False)
        if state == _SENDING:
            return self._sent("uncertain", (*attempts, Attempt(int(told["at_us"]), "a run ended in it")), fresh=False)
        return self._sent(state, attempts, fresh=False)

    def write(self, state: State | Literal["sending"], attempts: Sequence[Attempt]) -> Sent:
        """Note a state, on disk before anything follows from it."""
        told = {
            "report": self.report,
            "target": self.target.name,
            "platform": self.target.platform,
            "state": state,
            "at_us": to_us(now()),
            "attempts": [vars(one) for one in attempts],
        }
        with written_whole(self.path) as beside, beside.open("w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        return self._sent("uncertain" if state == _SENDING else state, tuple(attempts))

    def _sent(self, state: str, attempts: tuple[Attempt, ...], *, fresh: bool = True) -> Sent:
        return Sent(self.target.name, self.target.platform, state, attempts, fresh)  # type: ignore[arg-type]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other runs from sending meanwhile, so that two at once are not two cards."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise InfrastructureError(
            f"{folder} cannot be written: {error.strerror}", hint="check the disk and its rights"
        ) from None
    with handle:
        try:
            fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InfrastructureError("another run is sending cards", hint="wait until it has ended") from None
        yield


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
