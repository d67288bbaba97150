"""Values that leave the gateway through a browser and come back unread and unchanged: AES-256-GCM, with a time limit.

For what a redirect must carry and nobody may make up: where to go on after a log-in (`then`), what a log-in under way
must match when the broker answers. Not for what must work only once, and not for what must end early: that is a row in
the database.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import os
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.clock import UTC, Clock
from gateway.fhir.ids import Ids
from gateway.formats import json

_NONCE_BYTES: Final = 12
CHARACTERS_MAX: Final = 16_384


class Sealer:
    """Seals under one key (32 bytes) for one purpose: what was sealed for another does not open."""

    def __init__(self, key: bytes, purpose: str, clock: Clock) -> None:
        self._box = AESGCM(key)
        self._purpose = purpose.encode()
        self._clock = clock

    def seal(self, value: Any, lifetime: dt.timedelta) -> str:
        """Return a JSON value as text that is safe in a URL and a cookie, readable for so long."""
        until = int((self._clock.now() + lifetime).timestamp())
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._box.encrypt(nonce, json.dumps([until, value]), self._purpose)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, text: str) -> Any:
        """Return what was sealed; None for anything that was not sealed here for this purpose, or is too old."""
        if not text or len(text) > CHARACTERS_MAX or not text.isascii():
            return None
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            opened = self._box.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._purpose)
        except (binascii.Error, ValueError, InvalidTag):
            return None
        until, value = json.loads(opened)
        return value if self._clock.now() < dt.datetime.fromtimestamp(until, UTC) else None


def way_back(ids: Ids, clock: Clock) -> Sealer:
    """Return what seals and opens `then` of /login: a path of this gateway, to go on at after a log-in."""
    return Sealer(ids.derive("login then"), "then", clock)
