"""A request with a token of the authorization server → a `Principal`, or 401: `tokens.opened`, and whether it stands today.

What the database says of a token (revoked, its family ended, its log-in ended) is remembered for 30 seconds, so that what
ends here has ended in every process within a minute. What binds a token to a key or certificate is looked at each time.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from gateway.access import Why
from gateway.clock import Clock
from gateway.identity.oauth.certificates import Certificates
from gateway.identity.oauth.keys import Keyring
from gateway.identity.oauth.proofs import ProofError, Proofs
from gateway.identity.principal import Principal
from gateway.identity.session import Sessions
from gateway.identity.tokens import NotAuthenticated, Verifier, invalid, key_id, opened, presented
from gateway.store.grants import Grants

REMEMBERED: Final = dt.timedelta(seconds=30)
_REMEMBERED_MAX: Final = 4096


class Request(Protocol):
    """A Starlette or FastAPI request."""

    @property
    def scope(self) -> Any:
        """Its ASGI scope."""
        ...


class Acceptance:
    """Says whom a request speaks for. `address` is where callers reach the gateway; `local` verifies the local issuer's
    tokens where there is one.
    """

    def __init__(
        self,
        *,
        address: str,
        audience: str,
        keyring: Keyring,
        grants: Grants,
        sessions: Sessions,
        proofs: Proofs,
        certificates: Certificates,
        clock: Clock,
        local: Verifier | None = None,
    ) -> None:
        self._address = address
        self._audience = audience
        self._keyring = keyring
        self._grants = grants
        self._sessions = sessions
        self._proofs = proofs
        self._certificates = certificates
        self._clock = clock
        self._local = local
        self._remembered: OrderedDict[str, tuple[Principal, dt.datetime]] = OrderedDict()

    async def of_request(self, request: Request) -> Principal:
        """Return whom a request speaks for. Raises NotAuthenticated (401)."""
        scope = request.scope
        found = [value for name, value in scope["headers"] if name == b"authorization"]
        return await self.of_scope(scope, found[0].decode("latin-1") if found else None)

    async def of_scope(self, scope: Mapping[str, Any], authorization: str | None) -> Principal:
        """Return whom an ASGI request speaks for. Raises NotAuthenticated (401), also of two Authorization headers: whoever
        stands before the gateway may have looked at the other one.
        """
        scheme, token = presented(authorization)
        if [name for name, _ in scope["headers"]].count(b"authorization") > 1:
            raise invalid("there are several")
        principal = await self.verify(token)
        if principal.key or scheme == "dpop":
            await self._proved(principal, scheme, scope, token)
        if principal.certificate and self._certificates.thumbprint(scope) != principal.certificate:
            raise invalid("bound to a certificate that this connection does not have")
        return principal

    async def verify(self, token: str) -> Principal:
        """Return the principal of a token that holds, its binding not looked at. Raises NotAuthenticated (401)."""
        now = self._clock.now()
        known = self._remembered.get(token)
        if known is not None and now < known[1]:
            return known[0]
        kid = key_id(token)
        if self._local is not None and self._local.knows(kid):
            return self._local.verify(token)
        key = await self._keyring.verifying(kid)
        if key is None:
            raise invalid("signed with a key that is not known")
        principal = opened(token, key, issuer=self._address, audience=self._audience, now=now)
        await self._stands(principal, now)
        self._remembered[token] = (principal, min(now + REMEMBERED, principal.expires))
        self._remembered.move_to_end(token)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return principal

    async def _stands(self, principal: Principal, now: dt.datetime) -> None:
        try:
            family = uuid.UUID(principal.family) if principal.family else None
        except ValueError:
            raise invalid("fam is no id") from None
        if not await self._grants.stands(principal.token_id, family, now):
            raise invalid("it was revoked")
        if principal.actor.session and not await self._sessions.alive(principal.actor.session):
            raise invalid("its log-in has ended")

    async def _proved(self, principal: Principal, scheme: str, scope: Mapping[str, Any], token: str) -> None:
        """Check the proof that comes with a bound token. One that is not bound does not come as DPoP (RFC 9449 §7.1)."""
        proofs = [value for name, value in scope["headers"] if name == b"dpop"]
        error, nonce = "invalid_token", ""
        if principal.key and scheme == "dpop" and len(proofs) == 1:
            try:
                url = self._address + (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
                if await self._proofs.key(proofs[0].decode("latin-1"), scope["method"], url, token) == principal.key:
                    return
            except ProofError as wrong:
                error, nonce = wrong.error, wrong.nonce
        raise NotAuthenticated(
            "the token is bound to a key, and no proof of that key came with it",
            Why.INVALID_TOKEN,
            challenge=f'DPoP realm="sundbro", error="{error}", algs="ES256 ES384 PS256 RS384"',
            nonce=nonce,
        )
