"""When a message that was not taken is tried again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.clock import DAY_US

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Backoff"]

_SECOND_US = 1_000_000


@dataclass(frozen=True)
class Backoff:
    """Waits that grow by a factor, scattered, up to a longest one, until a message is too old.

    With the defaults a message is tried about 17 times: after 5 s, 15 s, 45 s … then every six hours, for three days.

    Parameters
    ----------
    first_s
        Seconds after the first try.
    factor
        By which the wait grows from try to try.
    most_s
        Seconds at most between two tries, also where a receiver asks for more.
    scatter
        The share of a wait that is drawn, so that many messages do not come back at once.
    give_up_us
        Age in microseconds beyond which no further try is made.
    """

    first_s: float = 5.0
    factor: float = 3.0
    most_s: float = 6 * 3600.0
    scatter: float = 0.5
    give_up_us: int = 3 * DAY_US

    def next_try(
        self,
        attempts: int,
        *,
        created_us: int,
        now_us: int,
        generator: np.random.Generator,
        asked_s: float | None = None,
    ) -> int | None:
        """Return when to try again, microseconds UTC, or None where the message is given up.

        Parameters
        ----------
        attempts
            How many tries have failed, this one included.
        created_us
            When the message came about.
        now_us
            The present.
        generator
            Draws the scattered part.
        asked_s
            Seconds that the receiver asked for, which are waited at least, up to `most_s`.

        Examples
        --------
        >>> import numpy as np
        >>> plain = Backoff(scatter=0.0)
        >>> draw = np.random.default_rng(7)
        >>> [plain.next_try(n, created_us=0, now_us=0, generator=draw) // 1_000_000 for n in (1, 2, 3, 99)]
        [5, 15, 45, 21600]
        >>> plain.next_try(9, created_us=0, now_us=3 * DAY_US, generator=draw) is None
        True
        """
        # The exponent is bounded, for the power of a large one is no float.
        wait_s = min(self.first_s * self.factor ** min(attempts - 1, 50), self.most_s)
        wait_s *= 1 - self.scatter * float(generator.random())
        wait_s = max(wait_s, min(asked_s or 0.0, self.most_s))
        next_us = now_us + round(wait_s * _SECOND_US)
        return None if next_us > created_us + self.give_up_us else next_us
