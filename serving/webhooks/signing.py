"""How a receiver knows that a message is ours: the signature of the Standard Webhooks specification, version 1.

Signed are the id, the second of the try and the body, by HMAC with SHA-256 under a secret that only the receiver has
beside us (https://www.standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from data.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SECRET_PREFIX", "new_secret", "signed_headers"]

SECRET_PREFIX = "whsec_"  # noqa: S105 - the beginning of every secret, and none itself
_SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> str:
    """Return a secret that signs the messages to one target.

    Examples
    --------
    >>> new_secret().startswith("whsec_"), new_secret() == new_secret()
    (True, False)
    """
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed_headers(secret: str, message_id: str, body: bytes, *, at_s: int) -> Mapping[str, str]:
    """Return the three headers that let a receiver check a message.

    Parameters
    ----------
    secret
        From `new_secret`.
    message_id
        The same on every try.
    body
        The bytes as they are sent.
    at_s
        The moment of this try, seconds since 1970-01-01T00:00:00Z.

    Raises
    ------
    DataError
        If the secret is none.

    Examples
    --------
    >>> told = signed_headers("whsec_" + "QUFB" * 8, "msg_1", b"{}", at_s=1_674_087_231)
    >>> told["webhook-timestamp"], told["webhook-signature"][:8], len(told["webhook-signature"])
    ('1674087231', 'v1,K8M7a', 47)
    """
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    found = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(found).decode()}",
    }


def _key(secret: str) -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        raise DataError("the secret of a webhook does not begin with whsec_", hint="remove the webhook and add it anew")
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        hint = "remove the webhook and add it anew"
        raise DataError("the secret of a webhook is not in base64", hint=hint) from None
