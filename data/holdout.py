"""Which leads are held out: picked at random by their id, so that the next model does not learn only from its choices.

A team that calls whom the model names learns nothing of the others. A small slice of the leads is therefore worked as
a lot says and not as a score does. The lot is a keyed hash of the lead's id: the endpoint, the nightly list, rescoring
and training tell the same without asking each other, and neither a new model nor time changes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

from data.derive import BLANK_CHARACTERS

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["NOBODY", "HoldOut", "holdout_of"]

T = TypeVar("T")
# Each purpose throws its own lot, so that who is held out says nothing about what is drawn for them.
Purpose = Literal["held", "decision", "place"]

_BITS = 53  # as many as a float holds exactly


@dataclass(frozen=True)
class HoldOut:
    """A share of the leads, and the salt that says which.

    A larger share under the same salt holds out the same leads and more.

    Parameters
    ----------
    share
        Of all leads, 0 to 1; 0 holds out nobody.
    salt
        The key of the hash; another one picks other leads.

    Examples
    --------
    >>> HoldOut(1.0, "x").holds("L-1"), HoldOut(0.0, "x").holds("L-1")
    (True, False)
    """

    share: float
    salt: str

    def holds(self, lead_id: str) -> bool:
        """Tell whether a lead is held out."""
        return self.share > 0 and self.lot(lead_id, "held") < self.share

    def marks(self, lead_ids: Iterable[str]) -> list[bool]:
        """Tell of each lead whether it is held out, in order: what training asks about the past."""
        return [self.holds(lead_id) for lead_id in lead_ids]

    def drawn(self, lead_id: str, options: Sequence[T]) -> T:
        """Return the option that the lead's lot picks, each with the same chance.

        Examples
        --------
        >>> HoldOut(1.0, "x").drawn("L-1", ["the only one"])
        'the only one'
        """
        return options[int(self.lot(lead_id, "decision") * len(options))]

    def place(self, lead_id: str) -> float:
        """Return where the lead stands in a list, from 0 (first) to below 1 (last)."""
        return self.lot(lead_id, "place")

    def lot(self, lead_id: str, purpose: Purpose) -> float:
        """Return the lead's number in [0, 1) for a purpose: 53 bits of BLAKE2b under the salt's key."""
        # The store drops surrounding blanks, the endpoint keeps the id as it was sent.
        name = lead_id.strip(BLANK_CHARACTERS).encode("utf-8", "surrogatepass")
        hashed = hashlib.blake2b(name, digest_size=8, key=self._key, person=purpose.encode())
        whole = int.from_bytes(hashed.digest(), "big") >> 64 - _BITS
        return whole / float(2**_BITS)

    @cached_property
    def _key(self) -> bytes:
        # Of any length, where BLAKE2b takes 64 bytes.
        return hashlib.sha256(self.salt.encode("utf-8", "surrogatepass")).digest()


NOBODY = HoldOut(0.0, "")


def holdout_of(settings: Settings) -> HoldOut:
    """Return the hold-out of the settings.

    Examples
    --------
    >>> from data.settings import Settings
    >>> holdout_of(Settings(holdout_share=0)).holds("L-1")
    False
    """
    return HoldOut(settings.holdout_share, settings.holdout_salt)
