"""The keys that tokens are signed with: one generation after another, known to all before it is used.

A generation is a P-256 key for access tokens (ES256) and an RSA key for ID tokens (RS256, which SMART and OpenID Connect
ask for). It is used for 30 days; the next one is published a day before, and an old one stays published until nothing that
it signed can hold any more. Private keys stand in the database, sealed with AES-256-GCM under the gateway's secret
(SUNDBRO_ID_SECRET): every process of every machine signs with the same, and a copy of the database alone signs nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import ECKey, RSAKey

from gateway.clock import Clock
from gateway.errors import Misconfigured
from gateway.formats import json
from gateway.store.grants import Grants, SealedKey

ACCESS: Final = "ES256"
ID: Final = "RS256"
USED: Final = dt.timedelta(days=30)
AHEAD: Final = dt.timedelta(days=1)
AFTER: Final = dt.timedelta(days=2)
"""Longer than any token, and than any key set is kept."""
LOOKED: Final = dt.timedelta(seconds=60)
PAUSE: Final = dt.timedelta(seconds=5)
RSA_BITS: Final = 2048
_NONCE: Final = 12
Key = ECKey | RSAKey


@dataclass(frozen=True, slots=True)
class _Known:
    number: int
    algorithm: str
    kid: str
    key: Key
    begins: dt.datetime


class Keyring:
    """The signing keys, as of at most a minute ago. `secret` has 32 bytes and is the same in every process."""

    def __init__(self, grants: Grants, secret: bytes, clock: Clock) -> None:
        self._grants = grants
        self._box = AESGCM(secret)
        self._clock = clock
        self._known: tuple[_Known, ...] = ()
        self._looked: dt.datetime | None = None
        self._lock = asyncio.Lock()

    async def signing(self, algorithm: str) -> tuple[str, Key]:
        """Return (kid, private key) of the generation in use."""
        now = self._clock.now()
        begun = [one for one in await self._keys(now) if one.algorithm == algorithm and one.begins <= now]
        return begun[-1].kid, begun[-1].key

    async def verifying(self, kid: str) -> ECKey | None:
        """Return the key of access tokens with this id, None when there is none."""
        now = self._clock.now()
        for _ in range(2):
            for one in await self._keys(now):
                if one.kid == kid and isinstance(one.key, ECKey):
                    return one.key
            # Another process may have made it a moment ago. Anybody can make up ids, so that there is a pause.
            if self._looked is None or now - self._looked < PAUSE:
                return None
            self._looked = None
        return None

    async def public(self) -> dict[str, list[dict[str, Any]]]:
        """Return the key set to publish (RFC 7517)."""
        known = await self._keys(self._clock.now())
        return {
            "keys": [
                {**_text(one.key.as_dict(private=False)), "kid": one.kid, "alg": one.algorithm, "use": "sig"}
                for one in known
            ]
        }

    async def _keys(self, now: dt.datetime) -> tuple[_Known, ...]:
        if self._looked is None or now - self._looked >= LOOKED:
            async with self._lock:
                if self._looked is None or now - self._looked >= LOOKED:
                    await self._look(now)
                    self._looked = now
        return self._known

    async def _look(self, now: dt.datetime) -> None:
        """Read the keys; make the first generation, or the next one when it is due."""
        rows = await self._grants.keys()
        newest = max(rows, key=lambda row: row.number, default=None)
        if newest is None or newest.begins + USED - AHEAD <= now:
            begins = now if newest is None else max(newest.begins + USED, now + AHEAD)
            number = 1 if newest is None else newest.number + 1
            await self._grants.add_keys(await asyncio.to_thread(self._generation, number, begins))
            rows = await self._grants.keys()
        starts = sorted({(row.number, row.begins) for row in rows})
        over = [number for number, begins in starts if begins + AFTER <= now]
        if over and over[-1] > starts[0][0]:
            await self._grants.drop_keys(over[-1])
            rows = [row for row in rows if row.number >= over[-1]]
        held = {one.kid: one for one in self._known}
        self._known = tuple(held.get(row.kid) or self._opened(row) for row in rows)

    def _generation(self, number: int, begins: dt.datetime) -> list[SealedKey]:
        made: Sequence[tuple[str, Key]] = (
            (ACCESS, ECKey.generate_key("P-256", private=True)),
            (ID, RSAKey.generate_key(RSA_BITS, private=True)),
        )
        sealed = []
        for algorithm, key in made:
            kid, nonce = key.thumbprint(), os.urandom(_NONCE)
            box = self._box.encrypt(nonce, json.dumps(_text(key.as_dict(private=True))), f"{algorithm} {kid}".encode())
            sealed.append(SealedKey(number, algorithm, kid, nonce + box, begins))
        return sealed

    def _opened(self, row: SealedKey) -> _Known:
        try:
            opened = self._box.decrypt(row.sealed[:_NONCE], row.sealed[_NONCE:], f"{row.algorithm} {row.kid}".encode())
        except InvalidTag:
            raise Misconfigured(
                "the signing keys in the database were sealed under another secret: SUNDBRO_ID_SECRET must be what it was"
            ) from None
        kind = ECKey if row.algorithm == ACCESS else RSAKey
        return _Known(row.number, row.algorithm, row.kid, kind.import_key(json.loads(opened)), row.begins)


def _text(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name not in {"kid", "alg", "use", "key_ops"}}
