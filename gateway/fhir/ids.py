r"""Deterministic ids: the same business key gives the same resource id on every replay, and tells nothing.

Everything that names a person goes through HMAC-SHA256 with the gateway's secret, so that neither an id nor a lane can
be turned back into a CPR number by trying them all (there are fewer than 10^10).
Source: feed-independent business keys per resource type, HL7 v2-to-FHIR practice; FHIR R4 id `[A-Za-z0-9\-.]{1,64}`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid

from gateway.model import Lane, PersonKey

_NAMESPACE = uuid.UUID("6f1d9a52-5a0b-5d0e-9f0e-0b5d5a0b5d0e")


class Ids:
    """Makes ids and lanes under one secret (at least 16 bytes). Two gateways with the same secret agree."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 16:  # noqa: PLR2004
            msg = "the id secret must have at least 16 bytes"
            raise ValueError(msg)
        self._secret = secret
        self._keyed = hmac.new(secret, digestmod=hashlib.sha256)

    def _digest(self, purpose: str, parts: tuple[str, ...]) -> bytes:
        keyed = self._keyed.copy()
        keyed.update("\x1f".join((purpose, *parts)).encode())
        return keyed.digest()

    def resource(self, resource_type: str, *key: str) -> str:
        """Return a resource id of 26 characters (base32, lower case, 130 bits) from its business key."""
        return base64.b32encode(self._digest(resource_type, key)[:17]).decode()[:26].lower()

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
