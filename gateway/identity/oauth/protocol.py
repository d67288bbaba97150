"""What authlib decides: RFC 6749 requests and errors, PKCE (RFC 7636), `iss` in the response (RFC 9207), as pure functions.

authlib's grants expect to read and write tokens in the middle of their work, without waiting. Here they do neither: what a
grant asks for was read before (`Form.held`), what it decides is written after (`Form.code`, `Form.given`), so that each
use of a code or refresh token is one statement of the database. The order is always: read, let authlib judge, commit.

Not authlib's: client authentication (`authentication` says why), pushed requests, token exchange and DPoP (it has none),
making tokens (they carry more than its generators know, and its log would show them).
"""

from __future__ import annotations

import logging
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Payload, OAuth2Request, grants
from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import BaseGrant, TokenEndpointMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter

from gateway.identity.oauth.authorization import Authorization
from gateway.identity.oauth.client import EXCHANGE, Client

logging.getLogger("authlib").setLevel(logging.WARNING)  # at DEBUG it writes tokens down
_AUTHENTICATED: Final = ["authenticated"]
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""A SHA-256, base64url."""


class _Payload(OAuth2Payload):
    """The parameters of a request: each once, `endpoint` has seen to it."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = dict(form)

    @property
    def data(self) -> dict[str, str]:
        return self._form

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return defaultdict(list, {name: [value] for name, value in self._form.items()})


class Form(OAuth2Request):
    """A request as authlib's grants see it, with what they would read and write."""

    def __init__(
        self, form: Mapping[str, str], client: Client | None = None, held: Authorization | None = None
    ) -> None:
        # authlib refuses plain http here. Whether TLS ends before us is the settings' business, not a request's.
        super().__init__("POST", "https://gateway/")
        self.payload = _Payload(form)
        self.authenticated = client
        self.held = held
        self.code = ""
        self.given = ""
        """The scopes of the token that authlib allowed."""

    @property
    def form(self) -> dict[str, str]:
        """The parameters."""
        return dict(self.payload.data)


@dataclass(slots=True)
class Reply:
    """What authlib answers: to be sent, or only looked at."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def location(self) -> str:
        """Where it redirects to, '' when it does not."""
        return self.headers.get("Location", "")

    @location.setter
    def location(self, value: str) -> None:
        self.headers["Location"] = value


class _CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATED

    def generate_authorization_code(self) -> str:
        return secrets.token_urlsafe(32)

    def save_authorization_code(self, code: str, request: Form) -> None:
        request.code = code

    def query_authorization_code(self, code: str, client: Client) -> Authorization | None:
        held = self.request.held
        return held if code and held is not None and held.check_client(client) else None

    def delete_authorization_code(self, authorization_code: Authorization) -> None:
        """Nothing yet: `issue` uses it up."""

    def authenticate_user(self, authorization_code: Authorization) -> Authorization:
        return authorization_code


class _RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATED
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, _refresh_token: str) -> Authorization | None:
        held: Authorization | None = self.request.held
        return held

    def authenticate_user(self, refresh_token: Authorization) -> Authorization:
        return refresh_token

    def revoke_old_credential(self, refresh_token: Authorization) -> None:
        """Nothing yet: `issue` rotates it."""


class _CredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATED


class _ExchangeGrant(BaseGrant, TokenEndpointMixin):
    """RFC 8693, which authlib does not have: the rules are `exchange`'s, the frame is authlib's."""

    TOKEN_ENDPOINT_AUTH_METHODS = _AUTHENTICATED
    GRANT_TYPE = EXCHANGE

    def validate_token_request(self) -> None:
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(EXCHANGE):
            raise UnauthorizedClientError
        self.request.client = client
        if self.request.held is None:
            raise InvalidGrantError("the subject token does not hold, or may not be exchanged")

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        scope = self.request.payload.scope or self.request.held.get_scope()
        self.save_token(self.generate_token(scope=scope, user=self.request.held))
        return 200, {}, self.TOKEN_RESPONSE_HEADER


class _S256(CodeChallenge):
    """PKCE for every client, S256 alone: neither `plain` nor none at all (RFC 9700 §2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    DEFAULT_CODE_CHALLENGE_METHOD = "S256"

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if data.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(data.get("code_challenge", "")):
            raise InvalidRequestError("code_challenge with code_challenge_method=S256 is needed (RFC 7636)")
        super().validate_code_challenge(grant, redirect_uri)


class _Issuer(IssuerParameter):
    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        return self._issuer


class Protocol(AuthorizationServer):
    """authlib's authorization server without input and output."""

    def __init__(self, issuer: str, query_client: Callable[[str], Client | None]) -> None:
        super().__init__()
        self._issuer = issuer
        self._query_client = query_client
        self.register_client_auth_method("authenticated", lambda _query, request: request.authenticated)
        self.register_grant(_CodeGrant, [_S256(required=True)])
        for grant in (_RefreshGrant, _CredentialsGrant, _ExchangeGrant):
            self.register_grant(grant)
        _Issuer(issuer)(self)

    # ── what authlib calls ───────────────────────────────────────────────────────────

    def query_client(self, client_id: str) -> Client | None:
        """Return a client."""
        return self._query_client(client_id)

    def create_oauth2_request(self, request: Form) -> Form:
        """Return the request: it is one already."""
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Reply:
        """Return a response as a value."""
        return Reply(status, body, dict(headers))

    def send_signal(self, _name: str, *_args: Any, **_more: Any) -> None:
        """Nobody listens."""

    def generate_token(self, *_args: Any, scope: str | None = None, **more: Any) -> dict[str, Any]:
        """Return what was allowed; the token itself is made when it is committed."""
        held, client = more.get("user"), more.get("client")
        allowed = scope if isinstance(held, Authorization) else client.get_allowed_scope(scope) if client else None
        if not allowed:
            raise InvalidScopeError
        return {"scope": allowed}

    def save_token(self, token: dict[str, Any], request: Form) -> None:
        """Note what was allowed."""
        request.given = token["scope"]

    # ── what we ask ──────────────────────────────────────────────────────────────────

    def token(self, form: Form) -> str:
        """Return the scopes that a token request is allowed. Raises OAuth2Error."""
        grant = self.get_token_grant(form)
        grant.validate_token_request()
        grant.create_token_response()
        return form.given

    def asked(self, form: Form) -> Client:
        """Return the client of an authorization request that may be put to a user; `form.scope` is what remains of its
        scopes. Raises OAuth2Error, with a redirect_uri where the client may be told.
        """
        grant = self.get_consent_grant(form)
        client: Client = grant.client
        return client

    def granted(self, form: Form) -> str:
        """Return where to send a user who agreed, with a fresh `form.code`."""
        grant = self.get_consent_grant(form)
        reply: Reply = self.create_authorization_response(form, form.held, grant=grant)
        return reply.location

    def refused(self, redirect_uri: str, state: str, error: OAuth2Error) -> str:
        """Return where to send a user whose request ended in an error (RFC 6749 §4.1.2.1, RFC 9207)."""
        told = [("error", error.error), ("error_description", error.get_error_description() or ""), ("state", state)]
        parameters = [(name, value) for name, value in told if value]
        return str(add_params_to_uri(redirect_uri, [*parameters, ("iss", self._issuer)]))
