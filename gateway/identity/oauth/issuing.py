"""The token endpoint: authenticate the client, read what it shows, let authlib judge, commit, make the token.

What is used once is used up by one statement at the end. Whoever shows a used code or refresh token ends the family that
came of it (RFC 9700 §4.14.2, RFC 6749 §4.1.2): one of the two who hold it is a thief, and nobody can tell which.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from authlib.oauth2.rfc6749.errors import InvalidGrantError, InvalidRequestError, InvalidScopeError, OAuth2Error
from joserfc import jwt

from gateway.access import Actor, Kind, Purpose
from gateway.access import scopes as access_scopes
from gateway.clock import Clock
from gateway.identity.oauth.authorization import Authorization
from gateway.identity.oauth.certificates import Certificates
from gateway.identity.oauth.client import CODE, CREDENTIALS, EXCHANGE, REFRESH, Binding, Client
from gateway.identity.oauth.exchanging import Exchange
from gateway.identity.oauth.keys import ACCESS, ID, Keyring
from gateway.identity.oauth.proofs import ProofError, Proofs
from gateway.identity.oauth.protocol import Form, Protocol
from gateway.identity.on_record import Act, Happened, Record, refused
from gateway.identity.session import Sessions
from gateway.identity.tokens import TYPE
from gateway.store.grants import Family, Grants

CODE_LIFETIME: Final = dt.timedelta(seconds=60)
GRANTS: Final = {CODE: "code", REFRESH: "refresh", CREDENTIALS: "credentials", EXCHANGE: "exchange"}
"""What the record calls a grant type."""
_LEEWAY: Final = dt.timedelta(minutes=5)


class ProofNeeded(OAuth2Error):
    """A DPoP proof that is missing or does not hold (RFC 9449 §5, §8)."""

    error = "invalid_dpop_proof"

    def __init__(self, wrong: ProofError) -> None:
        super().__init__(description=wrong.text, error=wrong.error)
        self.nonce = wrong.nonce


@dataclass(frozen=True, slots=True)
class Bound:
    """What the token of a request will be bound to."""

    key: str = ""
    certificate: str = ""


def peer(scope: Mapping[str, Any]) -> str:
    """Return the address that an ASGI request came from, '' where it is not known."""
    return scope["client"][0] if scope.get("client") else ""


def digest(text: str) -> bytes:
    """Return what is kept of a code or token in its place."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Minted:
    """The signing side: tokens as text."""

    issuer: str
    audience: str
    keyring: Keyring
    clock: Clock

    async def access(self, authorization: Authorization, lifetime: dt.timedelta) -> str:
        """Return an access token (RFC 9068)."""
        kid, key = await self.keyring.signing(ACCESS)
        now = int(self.clock.now().timestamp())
        claims = {
            **authorization.claims(),
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime.total_seconds()),
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode({"alg": ACCESS, "typ": TYPE, "kid": kid}, claims, key, algorithms=[ACCESS])

    async def identity(self, authorization: Authorization, client: Client) -> str:
        """Return an ID token (OpenID Connect Core §2, with SMART's fhirUser)."""
        kid, key = await self.keyring.signing(ID)
        now, actor = int(self.clock.now().timestamp()), authorization.actor
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": actor.subject,
            "aud": client.id,
            "iat": now,
            "exp": now + int(client.lifetime.total_seconds()),
            "auth_time": authorization.auth_time,
        }
        if acr := authorization.claims().get("acr"):
            claims["acr"] = acr
        if authorization.nonce:
            claims["nonce"] = authorization.nonce
        if authorization.fhir_user and actor.scopes.others & {"fhirUser", "profile"}:
            claims["fhirUser"] = f"{self.audience}/{authorization.fhir_user}"
        return jwt.encode({"alg": ID, "typ": "JWT", "kid": kid}, claims, key, algorithms=[ID])


class Issuing:
    """Answers token requests."""

    def __init__(
        self,
        *,
        protocol: Protocol,
        minted: Minted,
        grants: Grants,
        sessions: Sessions,
        exchange: Exchange,
        proofs: Proofs,
        certificates: Certificates,
        clock: Clock,
        record: Record,
    ) -> None:
        self._record = record
        self._protocol = protocol
        self._minted = minted
        self._grants = grants
        self._sessions = sessions
        self._exchange = exchange
        self._proofs = proofs
        self._certificates = certificates
        self._clock = clock

    async def token(
        self, form: Mapping[str, str], client: Client, scope: Mapping[str, Any], url: str
    ) -> dict[str, Any]:
        """Return the token response to an authenticated client; `scope` is the ASGI request's, `url` its address.

        Raises OAuth2Error, and Unavailable where it cannot be put on record.
        """
        try:
            return await self._granted(form, client, scope, url)
        except OAuth2Error as error:
            given = form.get("grant_type", "")
            act = Act.REFRESH if given == "refresh_token" else Act.TOKEN
            way = GRANTS.get(given, "")
            await refused(
                self._record, Happened(act, way, client=client.id, status=400, why=error.error, source=peer(scope))
            )
            raise

    async def _granted(
        self, form: Mapping[str, str], client: Client, scope: Mapping[str, Any], url: str
    ) -> dict[str, Any]:
        bound = await self._bound(client, scope, url)
        match form.get("grant_type"):
            case "authorization_code":
                return await self._code(form, client, bound, peer(scope))
            case "refresh_token":
                return await self._refresh(form, client, bound, peer(scope))
            case "client_credentials":
                return await self._credentials(form, client, bound, peer(scope))
            case "urn:ietf:params:oauth:grant-type:token-exchange":
                return await self._exchanged(form, client, bound, peer(scope))
            case _:
                raise OAuth2Error("grant_type is none that is known", error="unsupported_grant_type")

    async def _bound(self, client: Client, scope: Mapping[str, Any], url: str) -> Bound:
        """Return what binds the token: what the client is registered for, and a proof that comes unasked."""
        certificate = self._certificates.thumbprint(scope) if client.binding is Binding.MTLS else ""
        if client.binding is Binding.MTLS and not certificate:
            raise InvalidRequestError("this client needs a client certificate (RFC 8705)")
        proofs = [value for name, value in scope["headers"] if name == b"dpop"]
        if not proofs and client.binding is not Binding.DPOP:
            return Bound(certificate=certificate)
        if len(proofs) != 1:
            raise ProofNeeded(ProofError("this client needs one DPoP proof", nonce=self._proofs.nonce()))
        try:
            key = await self._proofs.key(proofs[0].decode("latin-1"), "POST", url)
        except ProofError as wrong:
            raise ProofNeeded(wrong) from None
        return Bound(key, certificate)

    async def _code(self, form: Mapping[str, str], client: Client, bound: Bound, source: str) -> dict[str, Any]:
        code, now = digest(form.get("code", "")), self._clock.now()
        body = await self._grants.peek("code", code, now)
        if body is None:
            await self._grants.replayed(code, now)
        held = Authorization.unpacked(body) if body else None
        granted = self._protocol.token(Form(form, client, held))
        assert held is not None
        if held.key and held.key != bound.key:
            raise InvalidGrantError("the code is bound to another key")
        if held.ends_with_session and held.actor.session and not await self._sessions.alive(held.actor.session):
            raise InvalidGrantError("the log-in has ended")
        family = uuid.uuid4()
        held = replace(held.narrowed(granted), key=bound.key, certificate=bound.certificate, family=str(family))
        lasting = held.actor.scopes.others & {"offline_access", "online_access"} and client.check_grant_type(REFRESH)
        expires = now + (client.refresh_lifetime if lasting else client.lifetime + _LEEWAY)
        refresh = secrets.token_urlsafe(32) if lasting else ""
        row = Family(family, client.id, held.actor.session, held.packed(), expires)
        # On record before the code is used up: where it cannot be, the app may come again with the same code.
        await self._record(Happened(Act.TOKEN, "code", held.actor, source=source))
        if not await self._grants.redeem(code, row, digest(refresh) if refresh else None, now):
            await self._grants.replayed(code, now)
            raise InvalidGrantError("the code does not hold")
        return await self._response(held, client, refresh)

    async def _refresh(self, form: Mapping[str, str], client: Client, bound: Bound, source: str) -> dict[str, Any]:
        shown, now = digest(form.get("refresh_token", "")), self._clock.now()
        found = await self._grants.refreshable(shown, now)
        held = Authorization.unpacked(found[0].body, found[0].id, found[0].expires) if found else None
        if held is not None and not held.check_client(client):
            held, found = None, None
        if found and found[1]:
            await self._grants.end_family(found[0].id, now)
            held = None
        granted = self._protocol.token(Form(form, client, held))
        assert held is not None
        assert found is not None
        if (held.key, held.certificate) != (bound.key, bound.certificate):
            raise InvalidGrantError("the token is bound to another key or certificate")
        if held.ends_with_session and held.actor.session and not await self._sessions.alive(held.actor.session):
            await self._grants.end_family(found[0].id, now)
            raise InvalidGrantError("the log-in has ended")
        await self._record(Happened(Act.REFRESH, "refresh", held.actor, source=source))
        following = secrets.token_urlsafe(32)
        if not await self._grants.rotate(shown, digest(following), now):
            await self._grants.end_family(found[0].id, now)
            raise InvalidGrantError("the token does not hold")
        return await self._response(held.narrowed(granted), client, following)

    async def _credentials(self, form: Mapping[str, str], client: Client, bound: Bound, source: str) -> dict[str, Any]:
        granted = self._protocol.token(Form(form, client))
        try:
            purpose = Purpose(form["purpose"]) if "purpose" in form else client.purposes[0]
        except ValueError:
            purpose = None
        if purpose not in client.purposes:
            raise InvalidRequestError("purpose is none that this client is registered for")
        assert purpose is not None
        scopes = access_scopes.parse(granted.split())
        actor = Actor(client.id, scopes, Kind.SYSTEM, purpose, organisation=client.organisation)
        await self._record(Happened(Act.TOKEN, "credentials", actor, source=source))
        return await self._response(Authorization(actor, key=bound.key, certificate=bound.certificate), client, "")

    async def _exchanged(self, form: Mapping[str, str], client: Client, bound: Bound, source: str) -> dict[str, Any]:
        held = await self._exchange.held(form, client)
        granted = self._protocol.token(Form(form, client, held))
        assert held is not None
        if not client.keyed and held.key != bound.key:
            raise InvalidGrantError("the subject token is bound to another key")
        allowed = self._exchange.narrowed(granted, held, client)
        if not allowed:
            raise InvalidScopeError
        made = replace(held.narrowed(allowed), key=bound.key, certificate=bound.certificate)
        assert held.expires is not None
        left = held.expires - self._clock.now()
        await self._record(Happened(Act.TOKEN, "exchange", made.actor, source=source))
        response = await self._response(made, client, "", most=left)
        return {**response, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}

    async def _response(
        self, held: Authorization, client: Client, refresh: str, *, most: dt.timedelta | None = None
    ) -> dict[str, Any]:
        lifetime = min(client.lifetime, most) if most is not None else client.lifetime
        if held.actor.purpose is Purpose.VAERDISPRING:
            lifetime = min(lifetime, VAERDISPRING_LIFETIME)
        told: dict[str, Any] = {
            "access_token": await self._minted.access(held, lifetime),
            "token_type": "DPoP" if held.key else "Bearer",
            "expires_in": int(lifetime.total_seconds()),
            "scope": held.get_scope(),
        }
        if refresh:
            told["refresh_token"] = refresh
        if "openid" in held.actor.scopes.others:
            told["id_token"] = await self._minted.identity(held, client)
        return {**told, **held.launch_context()}


VAERDISPRING_LIFETIME: Final = dt.timedelta(minutes=5)
"""A look past what stands in the way is short: another one is another decision, with its own reason."""
__all__ = ["CODE", "CODE_LIFETIME", "CREDENTIALS", "EXCHANGE", "Issuing", "Minted", "ProofNeeded", "digest", "peer"]
