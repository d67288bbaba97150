r"""Deterministic ids: the same business key gives the same resource id on every replay, and tells nothing.

Everything that names a person goes through HMAC-SHA256 with the gateway's secret, so that neither an id nor a lane can
be turned back into a CPR number by trying them all (there are fewer than 10^10).
Source: feed-independent business keys per resource type, HL7 v2-to-FHIR practice; FHIR R4 id `[A-Za-z0-9\-.]{1,64}`.
"""

from __future__ import annotations

import hashlib
import uuid

from gateway.model import Lane, PersonKey

_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
_SHIFTS = range(120, -1, -10)
_BLOCK = 64
_NAMESPACE = uuid.UUID("6f1d9a52-5a0b-5d0e-9f0e-0b5d5a0b5d0e")


class Ids:
    """Makes ids and lanes under one secret (at least 16 bytes). Two gateways with the same secret agree."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:  # noqa: PLR2004
            msg = "the id secret must have at least 16 bytes"
            raise ValueError(msg)
        # HMAC-SHA256 as RFC 2104 defines it, with both halves begun once: a third of the time of `hmac` for short keys.
        block = (secret if len(secret) <= _BLOCK else hashlib.sha256(secret).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def _digest(self, purpose: str, parts: tuple[str, ...]) -> bytes:
        inner = self._inner.copy()
        inner.update("\x1f".join((purpose, *parts)).encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def resource(self, resource_type: str, *key: str) -> str:
        """Return a resource id of 26 characters (base32, lower case, 130 bits) from its business key."""
        bits = int.from_bytes(self._digest(resource_type, key)[:17], "big") >> 6
        return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])

    def patient(self, person: PersonKey) -> str:
        """Return the Patient id of a person. Equal for every feed that names the person by (system, value)."""
        return self.resource("Patient", person.system, person.value)

    def lane(self, person: PersonKey) -> Lane:
        """Return the lane of a person: 32 hex digits."""
        return Lane(self._digest("lane", (person.system, person.value))[:16].hex())

    def feed_lane(self, feed: str, sender: str) -> Lane:
        """Return the lane of messages without a person: one per feed and sender (connection)."""
        return Lane(self._digest("feed-lane", (feed, sender))[:16].hex())

    def derive(self, purpose: str) -> bytes:
        """Return a secret of its own for `purpose` (32 bytes), so that no two purposes share a key."""
        return self._digest("derive", (purpose,))

    def uuid(self, *key: str) -> str:
        """Return a deterministic UUID (version 5 shape) for messages that must carry one."""
        return str(uuid.uuid5(_NAMESPACE, self._digest("uuid", key).hex()))
