"""The opaque token in a `next` link: the whole question and where its next page starts, sealed for one caller.

A link is seen by proxies, logs and browsers, so what was searched for (a person's number, perhaps) must not be
readable in it: AES-256-GCM under a key of this gateway. A token is good for its caller alone and for a while; it is
no proof of a right: every page is decided anew.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import os
import zlib
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway import errors
from gateway.access import Actor, NotPermitted, Why
from gateway.clock import Clock
from gateway.formats import json

LIFETIME: Final = dt.timedelta(hours=1)
TOKEN_CHARACTERS_MAX: Final = 8192
_NONCE_BYTES: Final = 12
_VERSION: Final = b"sundbro page 4"
_PACKED: Final = b"\x00"
_PACKED_BYTES: Final = 1024
"""To pack less takes longer than to send it."""


class Pages:
    """Seals and opens page tokens under a key derived from `secret` (16 bytes or more, the same in every process)."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        key = HKDF(hashes.SHA256(), 32, salt=None, info=_VERSION).derive(secret)
        self._aead = AESGCM(key)
        self._clock = clock

    def seal(self, actor: Actor, place: dict[str, Any], *, short: bool = False) -> str:
        """Return the token for `place` (JSON values). When the question is too long for a link: '' if only a `short` one
        is wanted, else raises TooLarge.
        """
        expires = int((self._clock.now() + LIFETIME).timestamp())
        held = json.dumps({**_caller(actor), "expires": expires, "place": place})
        nonce = os.urandom(_NONCE_BYTES)
        if len(held) > _PACKED_BYTES:
            held = _PACKED + zlib.compress(held, 1)
        token = base64.urlsafe_b64encode(nonce + self._aead.encrypt(nonce, held, _VERSION)).rstrip(b"=").decode()
        if len(token) > TOKEN_CHARACTERS_MAX:
            if short:
                return ""
            raise errors.TooLarge("this search has too many values to be paged through; ask for fewer at a time")
        return token

    def open(self, actor: Actor, token: str) -> dict[str, Any]:
        """Return the place a token was sealed for.

        Raises Incorrect for what is no token of this gateway, NotPermitted for another caller's, Gone for an old one.
        """
        try:
            sealed = base64.urlsafe_b64decode(token[:TOKEN_CHARACTERS_MAX] + "=" * (-len(token) % 4))
            opened = self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _VERSION)
        except (ValueError, InvalidTag) as error:
            raise errors.Incorrect("this is no page of a search here", at="_page") from error
        held = json.loads(zlib.decompress(opened[1:]) if opened[:1] == _PACKED else opened)
        if any(held.get(name, "") != value for name, value in _caller(actor).items()):
            raise NotPermitted("this page belongs to another caller", Why.NOT_ITS_PAGE)
        if self._clock.now().timestamp() >= held["expires"]:
            raise errors.Gone("this page has expired; search again")
        place: dict[str, Any] = held["place"]
        return place


@functools.lru_cache(maxsize=1024)
def _caller(actor: Actor) -> dict[str, str]:
    """Return whose page it is: a client is many people's, and one of them may act for several."""
    return {
        "client": actor.client,
        "scope": actor.scopes.text,
        "subject": actor.subject,
        "for": f"{actor.purpose} {actor.person} {actor.on_behalf_of} {actor.patient} {actor.organisation}",
    }
