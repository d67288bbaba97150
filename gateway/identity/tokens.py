"""A bearer token → a `Principal`, or 401. Checks what RFC 9068 §4 and RFC 8725 ask, and takes nothing on trust.

The algorithm and the keys are ours to choose, never the header's: ES256 alone, `kid` among the known, any header that
would bring a key along (`jku`, `jwk`, `x5u`, `x5c`) or demand something unknown (`crit`) is refused. A token that held
is remembered until it expires, at most 60 seconds, so that a thousand requests cost one signature check.

`Verifier` is for tokens that nothing but their signature and time decide: the local issuer's. Tokens of the authorization
server can be revoked, end with a log-in and may be bound to a key: `oauth.acceptance` opens them with `opened`, and asks on.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import json
import re
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Protocol

from joserfc import errors as jose
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.access import Why
from gateway.access import scopes as access_scopes
from gateway.clock import UTC, Clock, is_moment
from gateway.errors import Unauthenticated
from gateway.identity.claims import ClaimError, actor_of
from gateway.identity.principal import Principal

ALGORITHM: Final = "ES256"
TYPE: Final = "at+jwt"
TOKEN_CHARACTERS_MAX: Final = 8192
LIFETIME_MAX: Final = dt.timedelta(hours=24)
SKEW: Final = dt.timedelta(seconds=60)
REMEMBERED: Final = dt.timedelta(seconds=60)
_REMEMBERED_MAX: Final = 2048
_PARTS: Final = ("header", "payload", "signature")
_HEADER: Final = {"alg": ALGORITHM, "typ": TYPE}
_TIMES: Final = ("exp", "iat", "nbf")
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class NotAuthenticated(Unauthenticated):
    """401, with the reason from the closed list; `challenge` is a WWW-Authenticate value in the place of the usual one,
    `nonce` a DPoP-Nonce to try again with.
    """

    def __init__(self, text: str, why: Why, *, challenge: str = "", nonce: str = "") -> None:
        super().__init__(text)
        self.why = why
        self.challenge = challenge
        self.nonce = nonce


class Headers(Protocol):
    """The headers of a request, looked up by name in any case."""

    def get(self, key: str, /) -> str | None:
        """Return a header, None when it is not there."""
        ...


class Request(Protocol):
    """What has headers: a Starlette or FastAPI request."""

    @property
    def headers(self) -> Headers:
        """The request's headers."""
        ...


class Verifier:
    """Verifies access tokens of one issuer for one audience, with the public keys it is given by `kid`."""

    def __init__(self, *, issuer: str, audience: str, keys: Mapping[str, ECKey], clock: Clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = dict(keys)
        self._clock = clock
        self._remembered: OrderedDict[str, tuple[Principal, dt.datetime]] = OrderedDict()

    def authorise(self, authorization: str | None) -> Principal:
        """Return whom an Authorization header speaks for. Raises NotAuthenticated (401)."""
        scheme, token = presented(authorization)
        if scheme != "bearer":
            raise NotAuthenticated("the Authorization header is not `Bearer <token>`", Why.INVALID_TOKEN)
        return self.verify(token)

    def knows(self, kid: str) -> bool:
        """Say whether a key is among those of this issuer."""
        return kid in self._keys

    async def of_scope(self, _scope: MutableMapping[str, Any], authorization: str | None) -> Principal:
        """Return whom an ASGI request speaks for (`serve.api.Authenticates`). Raises NotAuthenticated (401)."""
        return self.authorise(authorization)

    async def of_request(self, request: Request) -> Principal:
        """Return whom a request speaks for: `authorise` for the doors. Raises NotAuthenticated (401)."""
        return self.authorise(request.headers.get("authorization"))

    def verify(self, token: str) -> Principal:
        """Return the principal of an access token. Raises NotAuthenticated (401)."""
        now = self._clock.now()
        known = self._remembered.get(token)
        if known is not None and now < known[1]:
            return known[0]
        principal = self._verified(token, now)
        self._remembered[token] = (principal, min(now + REMEMBERED, principal.expires))
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return principal

    def _verified(self, token: str, now: dt.datetime) -> Principal:
        key = self._keys.get(key_id(token))
        if key is None:
            raise invalid("signed with a key that is not known")
        principal = opened(token, key, issuer=self._issuer, audience=self._audience, now=now)
        if principal.bound or principal.family:
            raise invalid("of another kind than this issuer's")
        return principal


def presented(authorization: str | None) -> tuple[str, str]:
    """Return scheme (small letters) and token of an Authorization header. Raises NotAuthenticated."""
    if not authorization:
        raise NotAuthenticated("this address needs a bearer token", Why.NO_TOKEN)
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() not in {"bearer", "dpop"} or not token.strip():
        raise NotAuthenticated("the Authorization header is not `Bearer <token>`", Why.INVALID_TOKEN)
    return scheme.lower(), token.strip()


def opened(token: str, key: ECKey, *, issuer: str, audience: str, now: dt.datetime) -> Principal:
    """Return what a token says whose signature and claims hold now. Raises NotAuthenticated (401)."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise invalid("not a signed token")
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    except (jose.JoseError, ValueError, TypeError, KeyError) as error:
        raise invalid("the signature does not hold") from error
    expires = _check(claims, issuer, audience, now)
    scope, token_id, family = claims.get("scope"), claims.get("jti"), claims.get("fam", "")
    if not isinstance(scope, str):
        raise invalid("it has no scope")
    if not (isinstance(token_id, str) and token_id):
        raise invalid("it has no jti")
    if not isinstance(family, str):
        raise invalid("fam is a text")
    try:
        actor = actor_of(claims, access_scopes.parse(scope.split()))
    except (access_scopes.ScopeError, ClaimError) as error:
        raise invalid(str(error)) from None
    return Principal(actor, issuer, token_id, expires, family, *_confirmation(claims.get("cnf", {})))


def _confirmation(cnf: Any) -> tuple[str, str]:
    """Return (jkt, x5t#S256) of a `cnf` claim. One that is not understood must not be passed over."""
    if not isinstance(cnf, dict) or set(cnf) - {"jkt", "x5t#S256"}:
        raise invalid("its cnf is not understood")
    key, certificate = cnf.get("jkt", ""), cnf.get("x5t#S256", "")
    if any(not isinstance(value, str) or (value and not _THUMBPRINT.fullmatch(value)) for value in (key, certificate)):
        raise invalid("its cnf is not understood")
    if cnf and not (key or certificate):
        raise invalid("its cnf is not understood")
    return key, certificate


def _check(claims: Mapping[str, Any], issuer: str, audience: str, now: dt.datetime) -> dt.datetime:
    """Check who made it, for whom, and when; return when it expires."""
    if claims.get("iss") != issuer:
        raise invalid("from another issuer")
    if claims.get("aud") not in (audience, [audience]):
        raise invalid("for another audience")
    times = [claims.get(name) for name in _TIMES]
    if not all(map(is_moment, times)):
        raise invalid("exp, iat and nbf are whole seconds")
    expires, issued, begins = (dt.datetime.fromtimestamp(moment, UTC) for moment in times if moment is not None)
    if now >= expires:
        raise invalid("expired")
    if issued > now + SKEW or begins > now + SKEW:
        raise invalid("not valid yet")
    if not dt.timedelta() < expires - issued <= LIFETIME_MAX:
        raise invalid(f"lives longer than {LIFETIME_MAX}")
    return expires


def key_id(token: str) -> str:
    """Return the `kid` of a header that has exactly what ours have. Raises NotAuthenticated (401)."""
    if len(token) > TOKEN_CHARACTERS_MAX or token.count(".") != len(_PARTS) - 1:
        raise invalid("not a signed token")
    return _key_id(token.partition(".")[0])


@functools.lru_cache(maxsize=256)
def _key_id(part: str) -> str:
    """Read a header, which all tokens under one key have alike. It holds no secret, and says nothing that is trusted."""
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError) as error:
        raise invalid("not a signed token") from error
    if not isinstance(header, dict) or set(header) != {*_HEADER, "kid"} or not isinstance(header["kid"], str):
        raise invalid("its header is not alg, typ and kid alone")
    if any(header[name] != value for name, value in _HEADER.items()):
        raise invalid(f"its header is not alg {ALGORITHM} and typ {TYPE}")
    return str(header["kid"])


def invalid(why: str) -> NotAuthenticated:
    """Return the refusal of a token, to be raised."""
    return NotAuthenticated(f"the token is not valid: {why}", Why.INVALID_TOKEN)
