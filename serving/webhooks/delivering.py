"""The worker that empties the outbox: each target in a turn of its own, so that one that is slow holds up no other.

Every worker process may run one; a message is sent by whoever has claimed it, and claimed again by another when the
time of a claim is over. One that is killed between sending and noting makes a message come twice: the id tells.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from data.clock import now, to_us
from data.store.outbox import claim_deliveries, count_waiting, due_targets, give_back, is_claimed, settle_delivery
from serving.webhooks.backoff import Backoff
from serving.webhooks.posting import Line, Timing

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from data.store.engine import Store
    from data.store.outbox import Delivery, Target
    from serving.webhooks.addresses import Resolve
    from serving.webhooks.posting import Outcome

__all__ = ["Deliverer", "Means", "News", "Tell"]

News = Literal["delivered", "failed", "given_up", "lost", "waiting", "fault"]
"""What is told: how tries ended, claims that were lost, how many messages wait, and errors of our own by their kind."""

_CLAIMED = 10
_MOST_CLAIMS = 10  # in one turn, so that a target with a long queue lets others have their turn
_PARALLEL = 8
_COUNT_SECONDS = 10.0
_REST_SECONDS = 60.0
_SECOND_US = 1_000_000


class Tell(Protocol):
    """Called with what happened, how often (or, for `waiting`, how many there are), and why."""

    def __call__(self, news: News, number: int, why: str) -> None:
        """Take the news; nothing in it is secret or personal."""


def _tell_nobody(news: News, number: int, why: str) -> None:
    del news, number, why


@dataclass(frozen=True)
class Means:
    """How messages are sent.

    Parameters
    ----------
    private
        Whether the private network may be called, as the setting `webhook_private` says.
    backoff
        When to try again.
    timing
        How long to wait for a receiver.
    resolve
        What looks names up, by default the system.
    context
        What certificates are checked with, by default the usual authorities.
    """

    private: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    timing: Timing = field(default_factory=Timing)
    resolve: Resolve | None = None
    context: ssl.SSLContext | None = None

    @property
    def hold_us(self) -> int:
        """How long a claim lasts: for each of its messages a try and as much again for looking up and noting."""
        return round(2 * _CLAIMED * self.timing.total_s * _SECOND_US)


@dataclass(frozen=True)
class _Rest:
    """A target that does not answer: how often in a row, and until when nothing is sent (seconds, monotonic)."""

    failures: int
    until: float


class Deliverer:
    """Delivers what is due, target by target.

    Parameters
    ----------
    store
        The open store; opened in this process, not before a fork.
    means
        How messages are sent.
    generator
        Scatters the waits; each worker process should have its own.
    interval_s
        Seconds between two looks into the outbox.
    tell
        Called with what happened, from several threads.
    """

    def __init__(
        self,
        store: Store,
        *,
        means: Means | None = None,
        generator: np.random.Generator | None = None,
        interval_s: float = 1.0,
        tell: Tell = _tell_nobody,
    ) -> None:
        self._store = store
        self._means = means or Means()
        self._generator = generator or np.random.default_rng()
        self._interval_s = interval_s
        self._tell = tell
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._turns: dict[str, threading.Thread] = {}
        self._resting: dict[str, _Rest] = {}
        self._last_turn: dict[str, float] = {}
        self._count_at = 0.0

    def start(self) -> None:
        """Deliver in threads of its own until `stop`."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def stop(self, *, wait_s: float = 10.0) -> None:
        """End after the messages under way; what is claimed and not sent is given back."""
        self._ended.set()
        until = time.monotonic() + wait_s
        if self._thread is not None:
            self._thread.join(wait_s)  # first, for it begins turns
            self._thread = None
        for turn in list(self._turns.values()):
            turn.join(max(until - time.monotonic(), 0.0))

    def round(self, *, wait_s: float = 60.0) -> int:
        """Give every target for which a message is due its turn, and wait for the turns; return how many there were.

        Raises
        ------
        InfrastructureError
            If the database cannot be used; the next round tries again.
        """
        begun = self._begin_turns()
        until = time.monotonic() + wait_s
        for thread in begun:
            thread.join(max(until - time.monotonic(), 0.0))
        return len(begun)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._begin_turns()
                self._count()
            except Exception as error:  # noqa: BLE001 - a thread that ended in silence would leave messages to age
                self._tell("fault", 1, type(error).__name__)
            self._ended.wait(self._interval_s)

    def _begin_turns(self) -> list[threading.Thread]:
        """Start a thread for each target that has waited, as far as there is room."""
        self._turns = {target_id: turn for target_id, turn in self._turns.items() if turn.is_alive()}
        begun = []
        for target in sorted(due_targets(self._store), key=lambda each: self._last_turn.get(each.target_id, 0.0)):
            if len(self._turns) >= _PARALLEL:
                break
            if target.target_id in self._turns or self._rests(target):
                continue
            name = f"webhook {target.target_id}"
            turn = threading.Thread(target=self._turn, args=(target,), name=name, daemon=True)
            self._turns[target.target_id] = turn
            self._last_turn[target.target_id] = time.monotonic()
            turn.start()
            begun.append(turn)
        return begun

    def _count(self) -> None:
        if time.monotonic() >= self._count_at:
            self._tell("waiting", count_waiting(self._store), "")
            self._count_at = time.monotonic() + _COUNT_SECONDS

    def _turn(self, target: Target) -> None:
        means = self._means
        try:
            with Line(
                target, private=means.private, resolve=means.resolve, context=means.context, timing=means.timing
            ) as line:
                for _ in range(_MOST_CLAIMS):
                    if self._ended.is_set() or not self._send_claimed(target, line):
                        break
        except Exception as error:  # noqa: BLE001 - the claim ends by itself, another turn tries again
            self._tell("fault", 1, type(error).__name__)

    def _send_claimed(self, target: Target, line: Line) -> bool:
        """Claim some messages and send them; tell whether there may be more that can be sent now."""
        hold_us = self._means.hold_us
        # Half of a claim is left for what the waits of a try do not cover.
        until = time.monotonic() + hold_us / _SECOND_US / 2
        claimed = claim_deliveries(self._store, limit=_CLAIMED, hold_us=hold_us, target_id=target.target_id)
        for position, delivery in enumerate(claimed):
            if self._ended.is_set() or time.monotonic() > until:
                give_back(self._store, claimed[position:], due_us=to_us(now()))
                return False
            # Somebody may have removed the target, or had the lead forgotten, since it was claimed.
            if not is_claimed(self._store, delivery):
                self._tell("lost", 1, "")
                continue
            outcome = line.post(delivery)
            self._settle(delivery, outcome)
            if outcome.down:
                self._rest(target, claimed[position + 1 :], outcome)
                return False
            self._resting.pop(target.target_id, None)
        return len(claimed) == _CLAIMED

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        now_us = to_us(now())
        next_us = None
        if not outcome.delivered and not outcome.final:
            next_us = self._means.backoff.next_try(
                delivery.attempts + 1,
                created_us=delivery.created_us,
                now_us=now_us,
                generator=self._generator,
                asked_s=outcome.asked_s,
            )
        ours = settle_delivery(
            self._store, delivery, delivered=outcome.delivered, retry_us=next_us, status=outcome.status, now_us=now_us
        )
        news: News = "delivered" if outcome.delivered else "failed" if next_us is not None else "given_up"
        self._tell(news if ours else "lost", 1, outcome.status)

    def _rests(self, target: Target) -> bool:
        rest = self._resting.get(target.target_id)
        return rest is not None and rest.until > time.monotonic()

    def _rest(self, target: Target, unsent: Sequence[Delivery], outcome: Outcome) -> None:
        """Leave a target that does not answer alone for a while, longer each time, and give its messages back."""
        before = self._resting.get(target.target_id)
        failures = 1 if before is None else before.failures + 1
        backoff = self._means.backoff
        wait_s = min(backoff.first_s * 2 ** min(failures - 1, 20), _REST_SECONDS)
        wait_s = max(wait_s, min(outcome.asked_s or 0.0, backoff.most_s))
        self._resting[target.target_id] = _Rest(failures, time.monotonic() + wait_s)
        give_back(self._store, unsent, due_us=to_us(now()) + round(wait_s * _SECOND_US))
