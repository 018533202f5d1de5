"""Webhooks: what the store's outbox holds is signed and posted to the addresses that administrators have named.

Messages are described in `envelope`, signatures in `signing`, the addresses that may be called in `addresses`.
"""

__all__: list[str] = []
