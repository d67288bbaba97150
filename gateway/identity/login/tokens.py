"""A provider's signed tokens: ID token, signed UserInfo, logout token. Every check is a line; nothing is taken on trust.

OpenID Connect Core §3.1.3.7, Back-Channel Logout §2.6, RFC 8725. The algorithm is the one that was registered, the key
one of the provider's own by `kid` and of the algorithm's kind; a header that brings a key along changes nothing, one that
demands something unknown (`crit`) is refused.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from joserfc import errors as jose
from joserfc import jwt

from gateway.clock import UTC, Clock, is_moment
from gateway.identity.login.discovery import Discovery
from gateway.identity.login.faults import Fault, LoginFailed

CHARACTERS_MAX: Final = 16_384
SKEW: Final = dt.timedelta(seconds=60)
ID_TOKEN_LIFETIME_MAX: Final = dt.timedelta(hours=24)
LOGOUT_AGE_MAX: Final = dt.timedelta(minutes=5)
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_KINDS: Final = {"ES": "EC", "RS": "RSA", "PS": "RSA"}


class Judge:
    """Verifies the tokens of one provider for one client."""

    def __init__(self, issuer: str, client_id: str, algorithm: str, discovery: Discovery, clock: Clock) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._algorithm = algorithm
        self._discovery = discovery
        self._clock = clock

    async def id_token(
        self, token: object, *, nonce: str, access_token: str = "", max_age: int | None = None
    ) -> dict[str, Any]:
        """Return the claims of an ID token. Raises LoginFailed (invalid, clock)."""
        claims = await self._signed(token, types=("JWT", ""))
        self._for_us(claims)
        now = self._clock.now()
        issued, expires = _moment(claims, "iat"), _moment(claims, "exp")
        if issued > now + SKEW or expires <= now - SKEW:
            raise LoginFailed(Fault.CLOCK, "iat" if issued > now else "exp")
        if "nbf" in claims and _moment(claims, "nbf") > now + SKEW:
            raise LoginFailed(Fault.CLOCK, "nbf")
        if not dt.timedelta() < expires - issued <= ID_TOKEN_LIFETIME_MAX:
            raise LoginFailed(Fault.INVALID, "the ID token's life is too long")
        if not nonce or claims.get("nonce") != nonce:
            raise LoginFailed(Fault.INVALID, "nonce")
        if "at_hash" in claims and claims["at_hash"] != self._half(access_token):
            raise LoginFailed(Fault.INVALID, "at_hash")
        if max_age is not None or "auth_time" in claims:
            authenticated = _moment(claims, "auth_time")
            if authenticated > now + SKEW:
                raise LoginFailed(Fault.CLOCK, "auth_time")
            if max_age is not None and now - authenticated > dt.timedelta(seconds=max_age) + SKEW:
                raise LoginFailed(Fault.INVALID, "auth_time is older than max_age")
        return claims

    async def userinfo(self, answer: object, sub: str) -> dict[str, Any]:
        """Return the claims of a UserInfo answer, plain or signed, about the same `sub`. Raises LoginFailed (invalid)."""
        if isinstance(answer, str):
            answer = await self._signed(answer, types=("JWT", ""))
            if answer.get("iss", self._issuer) != self._issuer or not self._among(answer.get("aud", self._client_id)):
                raise LoginFailed(Fault.INVALID, "UserInfo for another")
        if not isinstance(answer, dict) or answer.get("sub") != sub:
            raise LoginFailed(Fault.INVALID, "UserInfo of another sub")
        return answer

    async def logout(self, token: object) -> dict[str, Any]:
        """Return the claims of a logout token (Back-Channel Logout §2.6), `jti` not yet looked up. Raises LoginFailed."""
        claims = await self._signed(token, types=("logout+jwt", "JWT", ""))
        self._for_us(claims, sub=False)
        now, issued = self._clock.now(), _moment(claims, "iat")
        if issued > now + SKEW or now - issued > LOGOUT_AGE_MAX:
            raise LoginFailed(Fault.CLOCK, "iat of a logout token")
        if "exp" in claims and _moment(claims, "exp") <= now - SKEW:
            raise LoginFailed(Fault.CLOCK, "exp of a logout token")
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise LoginFailed(Fault.INVALID, "events")
        if "nonce" in claims:
            raise LoginFailed(Fault.INVALID, "a logout token has no nonce")
        named = [claims.get(name) for name in ("jti", "sid", "sub") if claims.get(name) is not None]
        if not all(isinstance(one, str) and one for one in named) or "jti" not in claims or len(named) < 2:  # noqa: PLR2004
            raise LoginFailed(Fault.INVALID, "jti, and sid or sub")
        return claims

    def _for_us(self, claims: Mapping[str, Any], *, sub: bool = True) -> None:
        if claims.get("iss") != self._issuer:
            raise LoginFailed(Fault.INVALID, "iss")
        audience = claims.get("aud")
        if not self._among(audience):
            raise LoginFailed(Fault.INVALID, "aud")
        several = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", "" if several else self._client_id) != self._client_id:
            raise LoginFailed(Fault.INVALID, "azp")
        name = claims.get("sub")
        if sub and not (isinstance(name, str) and 0 < len(name) <= 255):  # noqa: PLR2004
            raise LoginFailed(Fault.INVALID, "sub")

    def _among(self, audience: object) -> bool:
        return audience == self._client_id or (isinstance(audience, list) and self._client_id in audience)

    async def _signed(self, token: object, *, types: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(token, str) or len(token) > CHARACTERS_MAX or token.count(".") != 2:  # noqa: PLR2004
            raise LoginFailed(Fault.INVALID, "not a signed token")
        header = _header(token)
        kid, kind = header.get("kid"), header.get("typ", "")
        if header.get("alg") != self._algorithm or "crit" in header or "b64" in header:
            raise LoginFailed(Fault.INVALID, "alg is not the registered one, or the header demands something")
        if not isinstance(kind, str) or kind.removeprefix("application/") not in types:
            raise LoginFailed(Fault.INVALID, "typ")
        key = await self._discovery.key(kid) if isinstance(kid, str) else None
        if key is None or key.key_type != _KINDS[self._algorithm[:2]]:
            raise LoginFailed(Fault.INVALID, "kid")
        try:
            claims = jwt.decode(token, key, algorithms=[self._algorithm]).claims
        except (jose.JoseError, ValueError, TypeError, KeyError):
            raise LoginFailed(Fault.INVALID, "signature") from None
        if not isinstance(claims, dict):
            raise LoginFailed(Fault.INVALID, "claims are an object")
        return claims

    def _half(self, access_token: str) -> str:
        """Return `at_hash`: the left half of the hash that the algorithm names (Core §3.1.3.6)."""
        digest = hashlib.new(f"sha{self._algorithm[2:]}", access_token.encode()).digest()
        return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def _header(token: str) -> dict[str, Any]:
    part = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise LoginFailed(Fault.INVALID, "header")
    return header


def _moment(claims: Mapping[str, Any], name: str) -> dt.datetime:
    """Return a NumericDate in whole seconds."""
    value = claims.get(name)
    if not is_moment(value):
        raise LoginFailed(Fault.INVALID, f"{name} is whole seconds")
    return dt.datetime.fromtimestamp(value, UTC)
