"""Which client is asking: `private_key_jwt` (RFC 7523, SMART client-confidential-asymmetric), or a public client's name.

Every failure looks the same to the caller, so that nobody learns which client ids, keys or times exist. authlib's
JWTBearerClientAssertion is not used: it takes whatever algorithm the header names that its library allows, any lifetime,
and keys without `kid`; here the registration pins the algorithm, and an assertion is good once in all processes.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from authlib.oauth2.rfc6749.errors import InvalidClientError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.clock import UTC, Clock, is_moment
from gateway.errors import SundbroError
from gateway.formats import json
from gateway.identity.attempts import Attempts, Limit
from gateway.identity.oauth.client import Client
from gateway.identity.oauth.outbound import KeySets
from gateway.identity.oauth.registration import KEY_TYPES, KEYS_MAX, RSA_BITS_MIN, Registry
from gateway.store.grants import Grants

ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_MAX: Final = dt.timedelta(minutes=5)
SKEW: Final = dt.timedelta(seconds=60)
FAILURES: Final = Limit("client", 20, dt.timedelta(seconds=60))
"""Of one client from one address."""
_CHARACTERS_MAX: Final = 8192
_JTI_MAX: Final = 256


class Authentication:
    """Authenticates clients. `audiences` are the addresses that an assertion may name: the token endpoint, and the one asked."""

    def __init__(self, registry: Registry, grants: Grants, key_sets: KeySets, clock: Clock, attempts: Attempts) -> None:
        self._registry = registry
        self._grants = grants
        self._key_sets = key_sets
        self._clock = clock
        self._attempts = attempts

    async def client(
        self, form: Mapping[str, str], audiences: frozenset[str], peer: str, authorization: str | None = None
    ) -> Client:
        """Return the client that sent a form from `peer`. Raises InvalidClientError, or Busy after too many failures."""
        caller = (peer, _claimed(form))
        await self._attempts.refuse(FAILURES, *caller)
        try:
            if authorization is not None or "client_secret" in form:
                raise _failed()  # there are no shared secrets here
            if "client_assertion" in form or "client_assertion_type" in form:
                return await self._signed(form, audiences)
            client = self._registry.get(form.get("client_id", ""))
            if client is None or client.keyed:
                raise _failed()
        except InvalidClientError:
            await self._attempts.failed(FAILURES, *caller)
            raise
        return client

    async def _signed(self, form: Mapping[str, str], audiences: frozenset[str]) -> Client:
        assertion = form.get("client_assertion", "")
        if form.get("client_assertion_type") != ASSERTION or not 0 < len(assertion) <= _CHARACTERS_MAX:
            raise _failed()
        header, claimed = _parts(assertion)
        named = claimed.get("sub")
        client = self._registry.get(named) if isinstance(named, str) else None
        if client is None or not client.keyed or form.get("client_id", client.id) != client.id:
            raise _failed()
        key = await self._key(client, header)
        try:
            claims = jwt.decode(assertion, key, algorithms=[client.algorithm]).claims
        except (JoseError, ValueError, TypeError, KeyError):
            raise _failed() from None
        await self._claims(client, claims, audiences)
        return client

    async def _key(self, client: Client, header: Mapping[str, Any]) -> ECKey | RSAKey:
        """Return the one key that may have signed: by `kid`, of the type that the pinned algorithm needs."""
        kid = header.get("kid")
        if set(header) - {"alg", "kid", "typ", "jku"} or header.get("alg") != client.algorithm:
            raise _failed()
        if not (isinstance(kid, str) and kid) or header.get("typ", "JWT") != "JWT":
            raise _failed()
        if "jku" in header and not (client.jwks_uri and header["jku"] == client.jwks_uri):
            raise _failed()
        jwks = client.jwks or await self._key_sets.get(client.jwks_uri, kid)
        keys = jwks.get("keys") if jwks else None
        if not isinstance(keys, list) or len(keys) > KEYS_MAX:
            raise _failed()
        kind, curve = KEY_TYPES[client.algorithm]
        fitting = [
            key
            for key in keys
            if isinstance(key, dict)
            and (key.get("kid"), key.get("kty"), key.get("crv", "")) == (kid, kind, curve)
            and key.get("use", "sig") == "sig"
            and key.get("alg", client.algorithm) == client.algorithm
        ]
        if len(fitting) != 1:
            raise _failed()
        public = {name: value for name, value in fitting[0].items() if name in {"kty", "crv", "x", "y", "n", "e"}}
        try:
            found: ECKey | RSAKey = (ECKey if kind == "EC" else RSAKey).import_key(public)
        except (JoseError, ValueError, TypeError, KeyError):
            raise _failed() from None
        if isinstance(found, RSAKey) and found.public_key.key_size < RSA_BITS_MIN:
            raise _failed()
        return found

    async def _claims(self, client: Client, claims: Mapping[str, Any], audiences: frozenset[str]) -> None:
        now = self._clock.now()
        given = claims.get("aud")
        named = {one for one in (given if isinstance(given, list) else [given]) if isinstance(one, str)}
        if (
            claims.get("iss") != client.id
            or claims.get("sub") != client.id
            or len(named) != 1
            or not named <= audiences
        ):
            raise _failed()
        moments = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
        if not all(map(is_moment, moments.values())):
            raise _failed()
        if "exp" not in moments:
            raise _failed()
        expires = dt.datetime.fromtimestamp(moments["exp"], UTC)
        if not now < expires + SKEW or expires > now + LIFETIME_MAX + SKEW:
            raise _failed()
        if any(
            dt.datetime.fromtimestamp(moments[name], UTC) > now + SKEW for name in ("iat", "nbf") if name in moments
        ):
            raise _failed()
        jti = claims.get("jti")
        if not (isinstance(jti, str) and 0 < len(jti) <= _JTI_MAX):
            raise _failed()
        once = hashlib.sha256(f"{client.id} {jti}".encode()).digest()
        if not await self._grants.put("assertion", once, b"", expires + SKEW, now):
            raise _failed()


def _claimed(form: Mapping[str, str]) -> str:
    """Return whom a form says it comes from, to count by: nothing of it is verified."""
    if assertion := form.get("client_assertion", "")[:_CHARACTERS_MAX]:
        try:
            return str(_parts(assertion)[1].get("sub"))[:64]
        except InvalidClientError:
            return ""
    return form.get("client_id", "")[:64]


def _parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of an assertion, nothing of them verified."""
    try:
        header, claims, _ = assertion.split(".")
        read = [
            json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
            for part in (header, claims)
        ]
    except (binascii.Error, ValueError, SundbroError):
        raise _failed() from None
    if not all(isinstance(part, dict) for part in read):
        raise _failed()
    return read[0], read[1]


def _failed() -> InvalidClientError:
    return InvalidClientError(description="the client is not known, or did not show that it is who it says")
