"""The OpenID Connect conversation with one provider: code flow with PKCE, as the relying party. Knows no browser.

OpenID Connect Core §3.1; RFC 7636 (S256); RFC 9700: `state`, `nonce` and the code verifier belong to one browser (`door`
keeps them in a sealed cookie), the issuer is checked in the answer (RFC 9207) and in the token, the redirect address is one
of this provider's alone. The client shows who it is by `private_key_jwt` (RFC 7523), or by a secret.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import httpx
from joserfc import errors as jose
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from gateway.clock import UTC, Clock
from gateway.errors import Misconfigured
from gateway.formats import json
from gateway.identity.login import profiles
from gateway.identity.login.discovery import Discovery
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.outbound import Outbound
from gateway.identity.login.profiles import PROFILES, Wish
from gateway.identity.login.providers import Provider, secret
from gateway.identity.login.tokens import SKEW, Judge

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME: Final = 60
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_ABORTED: Final = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})
_DOWN: Final = frozenset({"server_error", "temporarily_unavailable"})


@dataclass(frozen=True, slots=True)
class Secrets:
    """What belongs to one log-in in one browser, and must come back to it."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))


@dataclass(frozen=True, slots=True)
class Verified:
    """A log-in that holds: ID token and UserInfo together, the ID token's word before the other's."""

    claims: Mapping[str, Any] = field(repr=False)
    at: dt.datetime
    """When the user authenticated."""
    until: dt.datetime | None
    """When the provider's own session ends, where it says so."""
    id_token: str = field(repr=False)
    """For `id_token_hint`; '' where it holds a person's number, and is not kept."""


class Relying:
    """One provider. Raises Misconfigured for a key that cannot be used."""

    def __init__(
        self,
        provider: Provider,
        *,
        redirect: str,
        clock: Clock,
        development: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.provider = provider
        self.profile = PROFILES[provider.profile]
        self._redirect = redirect
        self._clock = clock
        self._key = _client_key(provider)
        self._secret = secret(provider.client_secret) if provider.client_secret else ""
        hosts = provider.hosts | {urlsplit(provider.issuer).netloc}
        self._outbound = Outbound(hosts, loopback=development, ca=provider.ca, transport=transport)
        self._discovery = Discovery(provider.issuer, self._outbound, clock)
        algorithm = provider.algorithm or self.profile.algorithm
        self.judge = Judge(provider.issuer, provider.client_id, algorithm, self._discovery, clock)

    async def close(self) -> None:
        """Close the connections to the provider."""
        await self._outbound.close()

    async def address(self, wish: Wish, own: Secrets) -> str:
        """Return where to send the browser. Raises LoginFailed when the provider does not say where."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(own.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            **self.provider.parameters,
            **self.profile.request(wish, self.provider),
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self._redirect,
            "scope": self.provider.scope or self.profile.scopes[wish.kind],
            "state": own.state,
            "nonce": own.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if wish.force:
            asked["prompt"] = "login"
        if wish.max_age is not None:
            asked["max_age"] = str(wish.max_age)
        return _with(await self._endpoint("authorization_endpoint"), asked)

    async def refuse_other(self, issuer: str | None) -> None:
        """Check `iss` of an answer (RFC 9207): an answer of another provider, brought to this one's address, ends here."""
        metadata = await self._discovery.metadata()
        if issuer is None and not metadata.names_itself:
            return
        if issuer != self.provider.issuer:
            raise LoginFailed(Fault.INVALID, "the answer is another issuer's")

    async def finish(self, code: str, own: Secrets, *, began: dt.datetime, wish: Wish) -> Verified:
        """Return what a code stands for, every token of it verified. Raises LoginFailed."""
        tokens = await self._tokens(code, own.verifier)
        access_token = tokens["access_token"]
        claims = await self.judge.id_token(
            tokens.get("id_token"), nonce=own.nonce, access_token=access_token, max_age=wish.max_age
        )
        at = dt.datetime.fromtimestamp(claims.get("auth_time", claims["iat"]), UTC)
        if wish.force and at < began - SKEW:
            raise LoginFailed(Fault.INVALID, "no new log-in, as was asked for")
        if wish.force:  # it was after we asked, whatever second the provider's clock was in
            at = max(at, began)
        more = await self._userinfo(access_token, claims["sub"])
        both = {**more, **claims}
        if str(both.get("session_is_active", "true")).lower() == "false":
            raise LoginFailed(Fault.ENDED, "session_is_active")
        kept = "" if profiles.numbers(self.provider) & set(claims) else str(tokens["id_token"])
        return Verified(both, at, _until(both), kept)

    async def logout_address(self, id_token: str, back: str) -> str:
        """Return where to send the browser to end the provider's session too, '' where it has no such address.

        OpenID Connect RP-Initiated Logout 1.0. Raises LoginFailed (unreachable).
        """
        metadata = await self._discovery.metadata()
        if not metadata.end_session_endpoint:
            return ""
        asked = {"id_token_hint": id_token} if id_token else {}
        return _with(
            metadata.end_session_endpoint,
            {**asked, "client_id": self.provider.client_id, "post_logout_redirect_uri": back},
        )

    async def _endpoint(self, name: str) -> str:
        return str(getattr(await self._discovery.metadata(), name))

    async def _tokens(self, code: str, verifier: str) -> dict[str, Any]:
        endpoint = await self._endpoint("token_endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": verifier,
            "client_id": self.provider.client_id,
        }
        headers = {"accept": "application/json"}
        if self._key is not None:
            form |= {"client_assertion_type": _ASSERTION, "client_assertion": self._assertion(endpoint)}
        else:  # RFC 6749 §2.3.1: both parts are form-encoded first
            both = f"{quote(self.provider.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(both.encode()).decode()
        status, said = await self._outbound.ask("POST", endpoint, form=form, headers=headers)
        if not isinstance(said, dict) or status != 200:  # noqa: PLR2004
            # A code that is used, too old or another's is no answer to this log-in; all else is the set-up's fault.
            error = said.get("error") if isinstance(said, dict) else None
            raise LoginFailed(Fault.GONE if error == "invalid_grant" else Fault.REFUSED, "token endpoint")
        kind, token = said.get("token_type"), said.get("access_token")
        if not (isinstance(kind, str) and kind.lower() == "bearer" and isinstance(token, str) and token.isascii()):
            raise LoginFailed(Fault.INVALID, "token_type or access_token")
        return said

    async def _userinfo(self, access_token: str, sub: str) -> dict[str, Any]:
        endpoint = await self._endpoint("userinfo_endpoint")
        if not endpoint:
            return {}
        headers = {"authorization": f"Bearer {access_token}", "accept": "application/json, application/jwt"}
        status, said = await self._outbound.ask("GET", endpoint, headers=headers)
        if status != 200:  # noqa: PLR2004
            raise LoginFailed(Fault.REFUSED, "UserInfo")
        return await self.judge.userinfo(said, sub)

    def _assertion(self, audience: str) -> str:
        assert self._key is not None
        now, name = int(self._clock.now().timestamp()), self.provider.client_id
        claims: dict[str, Any] = {"iss": name, "sub": name, "aud": audience, "jti": str(uuid.uuid4())}
        claims |= {"iat": now, "exp": now + _ASSERTION_LIFETIME}
        algorithm = _algorithm(self._key)
        header = {"alg": algorithm, "typ": "JWT", "kid": self._key.kid or self._key.thumbprint()}
        return jwt.encode(header, claims, self._key, algorithms=[algorithm])


def refused(error: str) -> LoginFailed:
    """Return what an `error` in the answer to the browser means (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6)."""
    if error in _ABORTED:
        return LoginFailed(Fault.ABORTED, error)
    if error in _DOWN:
        return LoginFailed(Fault.UNREACHABLE, error)
    return LoginFailed(Fault.REFUSED, "authorization endpoint")


def _until(claims: Mapping[str, Any]) -> dt.datetime | None:
    """Return NEB's `session_expiry` (epoch seconds, as a number or a text)."""
    value = str(claims.get("session_expiry", ""))
    if not (value.isascii() and value.isdigit() and len(value) <= 12):  # noqa: PLR2004
        return None
    return dt.datetime.fromtimestamp(int(value), UTC)


def _with(address: str, parameters: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(parameters)}"


def _client_key(provider: Provider) -> ECKey | RSAKey | None:
    if provider.client_key is None:
        return None
    try:
        (key,) = KeySet.import_key_set({"keys": [json.loads(secret(provider.client_key))]}).keys
        if isinstance(key, ECKey | RSAKey) and key.is_private and _algorithm(key):
            return key
    except (jose.JoseError, ValueError, TypeError, KeyError):
        pass
    raise Misconfigured(f"{provider.client_key} is not a private EC or RSA key as a JWK")


def _algorithm(key: ECKey | RSAKey) -> str:
    """Return the JWK's own `alg`, else what fits the key."""
    own = key.as_dict(private=False).get("alg")
    if own:
        return str(own)
    return "PS256" if isinstance(key, RSAKey) else _CURVES[str(key.curve_name)]
