"""The addresses of the authorization server, as Starlette routes for the process to mount: HTTP in, HTTP out, nothing else.

Every error is RFC 6749 §5.2's JSON, every token answer `no-store`. A form has each parameter once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError, OAuth2Error, UnauthorizedClientError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.access import Actor
from gateway.clock import Clock
from gateway.errors import Busy, Unauthenticated, Unavailable
from gateway.formats import json
from gateway.identity.oauth import metadata
from gateway.identity.oauth.acceptance import Acceptance
from gateway.identity.oauth.authentication import Authentication
from gateway.identity.oauth.authorization import Authorization
from gateway.identity.oauth.authorizing import Authorizing, Browser
from gateway.identity.oauth.client import REFRESH, Client
from gateway.identity.oauth.issuing import Issuing, ProofNeeded, digest, peer
from gateway.identity.oauth.keys import Keyring
from gateway.identity.oauth.launching import Launching
from gateway.identity.on_record import Act, Happened, Record, refused
from gateway.identity.principal import Principal
from gateway.store.grants import Grants

BODY_MAX: Final = 64 << 10
PARAMETERS_MAX: Final = 60
FORM: Final = "application/x-www-form-urlencoded"
_NAMING: Final = frozenset({"client_id", "client_assertion", "client_assertion_type", "client_secret"})
"""Parameters by which a client says who it is."""
_NO_STORE: Final = {"cache-control": "no-store", "pragma": "no-cache", "x-content-type-options": "nosniff"}
_KEPT: Final = {"cache-control": "public, max-age=600", "access-control-allow-origin": "*"}
Handler = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """The routes over the parts of the authorization server. `address` is where callers reach the gateway."""

    def __init__(
        self,
        *,
        address: str,
        authentication: Authentication,
        authorizing: Authorizing,
        issuing: Issuing,
        launching: Launching,
        acceptance: Acceptance,
        keyring: Keyring,
        grants: Grants,
        clock: Clock,
        record: Record,
    ) -> None:
        self._record = record
        self._address = address
        self._authentication = authentication
        self._authorizing = authorizing
        self._issuing = issuing
        self._launching = launching
        self._acceptance = acceptance
        self._keyring = keyring
        self._grants = grants
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at the root."""
        return [
            Route("/oauth/authorize", _told(self._authorize), methods=["GET", "POST"]),
            Route("/oauth/authorize/continue", _told(self._continue), methods=["GET"]),
            Route("/oauth/authorize/decide", _told(self._decide), methods=["POST"]),
            Route("/oauth/par", _told(self._par), methods=["POST"]),
            Route("/oauth/token", _told(self._token), methods=["POST"]),
            Route("/oauth/revoke", _told(self._revoke), methods=["POST"]),
            Route("/oauth/introspect", _told(self._introspect), methods=["POST"]),
            Route("/oauth/launch", _told(self._launch), methods=["POST"]),
            Route("/oauth/jwks", _told(self._jwks), methods=["GET"]),
            Route("/.well-known/oauth-authorization-server", self._document(metadata.server), methods=["GET"]),
            Route("/.well-known/openid-configuration", self._document(metadata.openid), methods=["GET"]),
            Route("/fhir/.well-known/smart-configuration", self._document(metadata.smart), methods=["GET"]),
        ]

    # ── for browsers ─────────────────────────────────────────────────────────────────

    async def _authorize(self, request: Request) -> Response:
        form = _once(request.url.query) if request.method == "GET" else await _form(request)
        return await self._authorizing.begin(form, _browser(request))

    async def _continue(self, request: Request) -> Response:
        asked = _once(request.url.query)
        return await self._authorizing.carry_on(asked.get("request", ""), _browser(request, asked.get("lang", "")))

    async def _decide(self, request: Request) -> Response:
        form = await _form(request)
        return await self._authorizing.decide(form, _browser(request, form.get("lang", "")))

    # ── for clients ──────────────────────────────────────────────────────────────────

    async def _par(self, request: Request) -> Response:
        form = await _form(request)
        return _json(await self._authorizing.push(form, await self._client(request, form)), 201)

    async def _token(self, request: Request) -> Response:
        form = await self._named(await _form(request))
        client = await self._client(request, form)
        answer = await self._issuing.token(form, client, request.scope, self._address + "/oauth/token")
        return _json(answer)

    async def _launch(self, request: Request) -> Response:
        form = await _form(request)
        client = await self._client(request, form)
        if not client.keyed:
            raise UnauthorizedClientError
        made = await self._launching.make(form, client)
        patient = form.get("patient", "")
        await self._record(Happened(Act.LAUNCH, client=client.id, patient=patient, source=peer(request.scope)))
        return _json(made, 201)

    async def _revoke(self, request: Request) -> Response:
        """RFC 7009: a token of the client's own ends; of any other nothing is said."""
        form = await _form(request)
        client = await self._client(request, form)
        token, now = _shown(form), self._clock.now()
        found = await self._grants.refreshable(digest(token), now)
        ended: Actor | None = None
        if found:
            if found[0].client == client.id:
                await self._grants.end_family(found[0].id, now)
                ended = Authorization.unpacked(found[0].body).actor
        elif (principal := await self._principal(token)) and principal.actor.client == client.id:
            await self._grants.end_token(principal.token_id, principal.expires)
            ended = principal.actor
        if ended is not None:
            await self._record(Happened(Act.REVOKE, actor=ended, source=peer(request.scope)))
        return _json({})

    async def _introspect(self, request: Request) -> Response:
        """RFC 7662, with SMART's launch context: a token of the client's own, or of any where it is registered for that."""
        form = await _form(request)
        client = await self._client(request, form)
        if not client.keyed:
            raise InvalidClientError(description="only a client that signs may ask")
        token, now = _shown(form), self._clock.now()
        if principal := await self._principal(token):
            told = _active(principal, self._address)
        elif (found := await self._grants.refreshable(digest(token), now)) and not found[1]:
            held = Authorization.unpacked(found[0].body)
            told = {"scope": held.get_scope(), "client_id": found[0].client, "exp": int(found[0].expires.timestamp())}
        else:
            told = {}
        mine = told.get("client_id") == client.id or client.introspects
        return _json({"active": True, **told} if told and mine else {"active": False})

    async def _jwks(self, _: Request) -> Response:
        return Response(json.dumps(await self._keyring.public()), 200, _KEPT, "application/json")

    # ── the frame ────────────────────────────────────────────────────────────────────

    async def _client(self, request: Request, form: Mapping[str, str]) -> Client:
        """Return the client that asks, by an assertion for the token endpoint or for the address asked."""
        audiences = frozenset({f"{self._address}/oauth/token", self._address + request.url.path})
        source, authorization = peer(request.scope), request.headers.get("authorization")
        try:
            return await self._authentication.client(form, audiences, source, authorization)
        except InvalidClientError as error:
            await refused(self._record, Happened(Act.TOKEN, status=401, why=error.error, source=source))
            raise

    async def _named(self, form: dict[str, str]) -> dict[str, str]:
        """Return a form with the client whose refresh token it shows, where it names none itself.

        A client that has no key need not say who it is (RFC 6749 §3.2.1, §6), and npm fhirclient does not. It shows no
        more by its id than by the token; a client with a key is refused as it is without an assertion.
        """
        if form.get("grant_type") != REFRESH or not form.get("refresh_token") or _NAMING & form.keys():
            return form
        found = await self._grants.refreshable(digest(form["refresh_token"]), self._clock.now())
        return {**form, "client_id": found[0].client} if found else form

    async def _principal(self, token: str) -> Principal | None:
        try:
            return await self._acceptance.verify(token)
        except Unauthenticated:
            return None

    def _document(self, of: Callable[[str], dict[str, Any]]) -> Handler:
        body = json.dumps(of(self._address))

        async def answer(_: Request) -> Response:
            return Response(body, 200, _KEPT, "application/json")

        return answer


def _told(handler: Handler) -> Handler:
    """Return a handler whose failures are RFC 6749's answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ProofNeeded as error:
            more = {"dpop-nonce": error.nonce} if error.nonce else {}
            return _json(_words(error), 400, more)
        except InvalidClientError as error:
            return _json(_words(error), 401)
        except OAuth2Error as error:
            return _json(_words(error), 400)
        except Busy as error:
            return _json({"error": "temporarily_unavailable"}, 429, {"retry-after": str(error.retry_after_seconds)})
        except Unavailable:
            return _json({"error": "temporarily_unavailable"}, 503, {"retry-after": "1"})

    return answer


def _words(error: OAuth2Error) -> dict[str, str]:
    described = error.get_error_description() or ""
    return {"error": error.error, **({"error_description": described} if described else {})}


def _json(told: Any, status: int = 200, more: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(told), status, {**_NO_STORE, **(more or {})}, "application/json")


def _browser(request: Request, language: str = "") -> Browser:
    headers = request.headers
    return Browser(request.cookies, headers.get("accept-language", ""), headers.get("origin"), language)


async def _form(request: Request) -> dict[str, str]:
    """Return the parameters of a body, each once. Raises InvalidRequestError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise InvalidRequestError(f"the body is {FORM}")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_MAX:
            raise InvalidRequestError("the body is too long")
    try:
        return _once(body.decode("ascii"))
    except UnicodeDecodeError:
        raise InvalidRequestError("the body is not percent-encoded") from None


def _once(text: str) -> dict[str, str]:
    """Return the parameters of a form, each once (RFC 6749 §3.1, §3.2). Raises InvalidRequestError."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMETERS_MAX, errors="strict")
    except ValueError:
        raise InvalidRequestError("the parameters cannot be read") from None
    if len(dict(pairs)) != len(pairs):
        raise InvalidRequestError("a parameter occurs twice")
    return {name: value for name, value in pairs if value}  # without a value is as if omitted


def _shown(form: Mapping[str, str]) -> str:
    if not form.get("token"):
        raise InvalidRequestError("token is missing")
    return form["token"]


def _active(principal: Principal, issuer: str) -> dict[str, Any]:
    actor = principal.actor
    told: dict[str, Any] = {
        "scope": actor.scopes.text,
        "client_id": actor.client,
        "exp": int(principal.expires.timestamp()),
        "iss": issuer,
        "sub": actor.subject or actor.client,
        "token_type": "DPoP" if principal.key else "Bearer",
        "jti": principal.token_id,
    }
    if actor.patient:
        told["patient"] = actor.patient.removeprefix("Patient/")
    if actor.person:
        told["fhirUser"] = actor.person
    cnf = {"jkt": principal.key, "x5t#S256": principal.certificate}
    if bound := {name: value for name, value in cnf.items() if value}:
        told["cnf"] = bound
    return told
