"""The authorization endpoint: an app's request → a log-in → a page → a code. Each step is stored, none is in the browser.

A request is checked, kept under a handle, and carried on from there: after a log-in the browser comes back with the handle
alone. The page's answer is taken only from the session it was shown to (a token over session and handle, and the Origin).
An address that is not registered is never redirected to; every answer to an app says who gives it (`iss`, RFC 9207).
"""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from authlib.oauth2.rfc6749.errors import AccessDeniedError, InvalidRequestError, OAuth2Error
from starlette.responses import Response

from gateway.access import Kind
from gateway.access import scopes as access_scopes
from gateway.access.scopes import Scopes
from gateway.clock import Clock
from gateway.formats import json
from gateway.identity.login.words import Language
from gateway.identity.oauth import pages
from gateway.identity.oauth.asked import Asked, AskedError, check
from gateway.identity.oauth.client import Client, Sort
from gateway.identity.oauth.granting import Answer, Granting, must_say_why
from gateway.identity.oauth.issuing import digest
from gateway.identity.oauth.launching import Launching
from gateway.identity.oauth.pages import Question
from gateway.identity.oauth.protocol import Form, Protocol
from gateway.identity.oauth.registration import Registry
from gateway.identity.on_record import Act, Happened, Record, actor_of, refused
from gateway.identity.sealed import Sealer
from gateway.identity.session import Session, Sessions
from gateway.store.grants import Grants

REQUEST_LIFETIME: Final = dt.timedelta(minutes=15)
PUSHED_LIFETIME: Final = dt.timedelta(seconds=90)
PUSHED: Final = "urn:ietf:params:oauth:request_uri:"
LOGINS_MAX: Final = 3
REASON_MAX: Final = 400


class NoApp(Exception):
    """A request that no app can be told about: the user sees why."""


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser sends beside the form."""

    cookies: Mapping[str, str]
    accept_language: str = ""
    origin: str | None = None
    language: str = ""
    """What the user chose on the page, '' where he has not."""


class Authorizing:
    """Answers what browsers ask. `address` is where callers reach the gateway, `audience` its FHIR base, `then` seals
    where to go on after a log-in, `secret` makes the pages' tokens.
    """

    def __init__(
        self,
        *,
        protocol: Protocol,
        registry: Registry,
        grants: Grants,
        sessions: Sessions,
        launching: Launching,
        granting: Granting,
        then: Sealer,
        secret: bytes,
        address: str,
        audience: str,
        clock: Clock,
        record: Record,
    ) -> None:
        self._record = record
        self._protocol = protocol
        self._registry = registry
        self._grants = grants
        self._sessions = sessions
        self._launching = launching
        self._granting = granting
        self._then = then
        self._secret = secret
        self._address = address
        self._audience = audience
        self._clock = clock

    # ── the steps ────────────────────────────────────────────────────────────────────

    async def push(self, form: Mapping[str, str], client: Client) -> dict[str, str | int]:
        """Keep the request of an authenticated client (RFC 9126); return its address. Raises OAuth2Error."""
        own = ("client_assertion", "client_assertion_type")
        asked = {**{name: value for name, value in form.items() if name not in own}, "client_id": client.id}
        if "request_uri" in asked:
            raise InvalidRequestError("request_uri cannot be pushed")
        if not client.check_redirect_uri(asked.get("redirect_uri", "")):
            raise InvalidRequestError("redirect_uri is not registered")
        await self._check(asked, client)
        handle, now = secrets.token_urlsafe(32), self._clock.now()
        await self._grants.put("pushed", digest(handle), json.dumps(asked), now + PUSHED_LIFETIME, now)
        return {"request_uri": PUSHED + handle, "expires_in": int(PUSHED_LIFETIME.total_seconds())}

    async def begin(self, form: Mapping[str, str], browser: Browser) -> Response:
        """Answer an app's request."""
        try:
            pushed = "request_uri" in form
            form = await self._pushed(form) if pushed else form
            client = self._registered(form)
        except NoApp as error:
            return pages.refusal(str(error), self._language(form, browser))
        asked = Asked(form, self._clock.now())
        try:
            if client.pushed and not pushed:
                raise InvalidRequestError("this client pushes its requests (RFC 9126)")
            await self._check(form, client)
        except OAuth2Error as error:
            return self._refused(asked, error)
        handle = secrets.token_urlsafe(32)
        await self._keep(handle, asked)
        return await self._onward(handle, asked, client, browser)

    async def carry_on(self, handle: str, browser: Browser) -> Response:
        """Answer a browser that comes back from a log-in."""
        body = await self._grants.peek("request", digest(handle), self._clock.now())
        if body is None:
            return pages.refusal("", self._language({}, browser))
        asked = Asked.unpacked(body)
        try:
            client = self._registered(asked.form)
        except NoApp as error:
            return pages.refusal(str(error), self._language(asked.form, browser))
        return await self._onward(handle, asked, client, browser)

    async def decide(self, form: Mapping[str, str], browser: Browser) -> Response:
        """Answer the user's decision."""
        handle, now = form.get("request", ""), self._clock.now()
        session = await self._sessions.of_cookies(browser.cookies)
        body = await self._grants.peek("request", digest(handle), now)
        if session is None or body is None or not self._same_browser(form, session, browser):
            return pages.refusal("", self._language({}, browser), 403)
        asked = Asked.unpacked(body)
        try:
            client = self._registered(asked.form)
        except NoApp as error:
            return pages.refusal(str(error), self._language(asked.form, browser))
        if not asked.satisfied(session.login, client):
            return await self._onward(handle, asked, client, browser)
        answer = Answer(form.get("patient", ""), form.get("reason", "").strip()[:REASON_MAX])
        match form.get("decision"):
            case "find":
                found = await self._granting.found(session.login, form.get("find", "").strip())
                return await self._ask(handle, asked, client, session, browser, Answer(found=found, searched=True))
            case "yes":
                if must_say_why(asked, session.login) and not answer.reason:
                    return await self._ask(handle, asked, client, session, browser, answer)
                return await self._grant(handle, asked, client, session, answer)
            case _:
                await self._grants.take("request", digest(handle), now)
                await self._declined(client, session, "access_denied")
                return self._refused(asked, AccessDeniedError())

    # ── within a step ────────────────────────────────────────────────────────────────

    async def _pushed(self, form: Mapping[str, str]) -> dict[str, str]:
        named = form["request_uri"]
        body = None
        if named.startswith(PUSHED):
            body = await self._grants.take("pushed", digest(named.removeprefix(PUSHED)), self._clock.now())
        asked: dict[str, str] = json.loads(body) if body else {}
        if not asked or asked["client_id"] != form.get("client_id"):
            raise NoApp("request_uri does not hold")
        return asked

    def _registered(self, form: Mapping[str, str]) -> Client:
        """Return the client whose registered address the answer goes to. Raises NoApp: nobody else can be told."""
        client = self._registry.get(form.get("client_id", ""))
        if client is None or client.sort is Sort.SYSTEM:
            raise NoApp("client_id is not registered")
        if not client.check_redirect_uri(form.get("redirect_uri", "")):
            raise NoApp("redirect_uri is not registered")
        return client

    async def _check(self, form: Mapping[str, str], client: Client) -> Scopes:
        """Return the scopes that may be put to a user. Raises OAuth2Error."""
        check(form, client, self._audience)
        asked = Form(form, client)
        self._protocol.asked(asked)
        scopes = access_scopes.parse(asked.scope.split())
        if "launch" in scopes.others:
            await self._launching.of(form.get("launch", ""), client, use=False)
        elif "launch" in form:
            raise InvalidRequestError("launch needs the scope launch")
        return scopes

    async def _keep(self, handle: str, asked: Asked) -> None:
        now = self._clock.now()
        await self._grants.put("request", digest(handle), asked.packed(), now + REQUEST_LIFETIME, now)

    async def _onward(self, handle: str, asked: Asked, client: Client, browser: Browser) -> Response:
        """Send the user to log in, ask him, or, where nothing is to be asked, go on at once."""
        session = await self._sessions.of_cookies(browser.cookies)
        if session is None or not asked.satisfied(session.login, client):
            return await self._login(handle, asked, client)
        try:
            await self._granting.fitting(asked, client, session.login)
        except OAuth2Error as error:
            await self._grants.take("request", digest(handle), self._clock.now())
            return self._refused(asked, error)
        if await self._granting.silent(asked, client, session.login):
            return await self._grant(handle, asked, client, session, Answer())
        if "none" in asked.prompts:
            return self._refused(asked, AskedError("interaction_required", "the user must be asked"))
        return await self._ask(handle, asked, client, session, browser, Answer())

    async def _login(self, handle: str, asked: Asked, client: Client) -> Response:
        now = self._clock.now()
        if await self._grants.take("request", digest(handle), now) is None:
            return pages.refusal("", "da")
        if "none" in asked.prompts:
            return self._refused(asked, AskedError("login_required", "the user must log in"))
        if asked.sent >= LOGINS_MAX:
            return self._refused(
                asked, AskedError("unmet_authentication_requirements", "the log-in is not of the level needed")
            )
        await self._keep(handle, asked.again())
        back = f"/oauth/authorize/continue?{urlencode({'request': handle})}"
        told = {"then": self._then.seal(back, REQUEST_LIFETIME), **asked.login_parameters(client)}
        return pages.onward(f"/login?{urlencode(told)}")

    async def _ask(
        self, handle: str, asked: Asked, client: Client, session: Session, browser: Browser, answer: Answer
    ) -> Response:
        language, scopes = self._language(asked.form, browser), self._granting.scopes(asked, client)
        finds = await self._granting.finds(asked, client, session.login)
        choices = answer.found or await self._granting.choices(asked, client, session.login)
        question = Question(
            client.title(language),
            scopes,
            asked.purpose(session.login.kind),
            handle,
            self._token(session, handle),
            asked.redirect_uri,
            choices,
            finds,
            answer.searched and not choices,
            session.login.name,
            session.login.kind is Kind.CITIZEN and not choices,
            client.refresh_lifetime.days,
        )
        return pages.question(question, language)

    async def _grant(self, handle: str, asked: Asked, client: Client, session: Session, answer: Answer) -> Response:
        try:
            return pages.onward(await self._granting.granted(handle, asked, client, session, answer))
        except OAuth2Error as error:
            await self._declined(client, session, error.error)
            return self._refused(asked, error)

    async def _declined(self, client: Client, session: Session, why: str) -> None:
        actor = replace(actor_of(session.login, session.id), client=client.id)
        await refused(self._record, Happened(Act.AUTHORIZE, "", actor, status=403, why=why))

    def _refused(self, asked: Asked, error: OAuth2Error) -> Response:
        return pages.onward(self._protocol.refused(asked.redirect_uri, asked.state, error))

    def _language(self, form: Mapping[str, str], browser: Browser) -> Language:
        return pages.language_of(f"{browser.language} {form.get('ui_locales', '')}", browser.accept_language)

    def _token(self, session: Session, handle: str) -> str:
        digest_ = hmac.digest(self._secret, f"{session.id}\x1f{handle}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest_).decode()

    def _same_browser(self, form: Mapping[str, str], session: Session, browser: Browser) -> bool:
        """Say whether a decision comes from the page that was shown to this session (CSRF)."""
        if browser.origin not in {None, self._address}:
            return False
        return hmac.compare_digest(
            form.get("csrf", "").encode(), self._token(session, form.get("request", "")).encode()
        )
