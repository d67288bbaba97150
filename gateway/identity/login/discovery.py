"""What a provider says of itself: discovery document and keys, fetched, checked and kept for an hour.

OpenID Connect Discovery 1.0 §4: the document's `issuer` is the one of the settings, to the letter. A key that is not
known is looked for again at most once a minute: a stream of forged tokens is not a stream of fetches.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from joserfc import errors as jose
from joserfc.jwk import ECKey, KeySet, RSAKey

from gateway.clock import Clock
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.outbound import Outbound

PATH: Final = "/.well-known/openid-configuration"
KEPT: Final = dt.timedelta(hours=1)
AGAIN_AFTER: Final = dt.timedelta(minutes=1)
KEYS_MAX: Final = 20
_NEEDED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")
Key = ECKey | RSAKey


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part of a discovery document that is used. '' is what it does not have."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    names_itself: bool = False
    """Says `iss` in its answers to the browser (RFC 9207)."""


class Discovery:
    """Metadata and keys of one provider."""

    def __init__(self, issuer: str, outbound: Outbound, clock: Clock) -> None:
        self._issuer = issuer
        self._outbound = outbound
        self._clock = clock
        self._lock = asyncio.Lock()
        self._metadata: tuple[Metadata, dt.datetime] | None = None
        self._keys: tuple[Mapping[str, Key], dt.datetime] | None = None

    async def metadata(self) -> Metadata:
        """Return what the provider says of itself. Raises LoginFailed (unreachable, invalid)."""
        async with self._lock:
            now = self._clock.now()
            if self._metadata is None or now - self._metadata[1] > KEPT:
                self._metadata = (await self._fetched(), now)
            return self._metadata[0]

    async def key(self, kid: str) -> Key | None:
        """Return the provider's key of this name, None when it has none. Raises LoginFailed."""
        metadata = await self.metadata()
        async with self._lock:
            now = self._clock.now()
            age = now - self._keys[1] if self._keys else KEPT
            if self._keys is None or age > KEPT or (kid not in self._keys[0] and age > AGAIN_AFTER):
                self._keys = (await self._fetched_keys(metadata.jwks_uri), now)
            return self._keys[0].get(kid)

    async def _fetched(self) -> Metadata:
        status, said = await self._outbound.ask("GET", self._issuer.rstrip("/") + PATH)
        if status != 200 or not isinstance(said, dict):  # noqa: PLR2004
            raise LoginFailed(Fault.UNREACHABLE, "no discovery document")
        if said.get("issuer") != self._issuer:
            raise LoginFailed(Fault.INVALID, "the discovery document is of another issuer")
        found = {name: said.get(name, "") for name in (*_NEEDED, "userinfo_endpoint", "end_session_endpoint")}
        for name, address in found.items():
            if (address or name in _NEEDED) and not (isinstance(address, str) and self._outbound.allowed(address)):
                raise LoginFailed(Fault.INVALID, f"{name} is not an address of the provider")
        return Metadata(**found, names_itself=said.get("authorization_response_iss_parameter_supported") is True)

    async def _fetched_keys(self, address: str) -> Mapping[str, Key]:
        status, said = await self._outbound.ask("GET", address)
        listed = said.get("keys") if isinstance(said, dict) else None
        if status != 200 or not isinstance(listed, list) or len(listed) > KEYS_MAX:  # noqa: PLR2004
            raise LoginFailed(Fault.UNREACHABLE, "no keys")
        return dict(found for each in listed if (found := _key(each)))


def _key(jwk: Any) -> tuple[str, Key] | None:
    """Return a public signing key by its name; None for one of another kind, or with a part that is not public."""
    if not isinstance(jwk, dict) or jwk.get("kty") not in {"EC", "RSA"} or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    try:
        (key,) = KeySet.import_key_set({"keys": [jwk]}).keys
    except (jose.JoseError, ValueError, TypeError, KeyError):
        return None
    kid = jwk.get("kid")
    return (kid, key) if isinstance(kid, str) and isinstance(key, ECKey | RSAKey) else None
