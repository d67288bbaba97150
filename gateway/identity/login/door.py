"""The addresses of the log-in: what a browser, and a provider's server, may ask.

* `GET /login`: `then` (sealed by `identity.sealed.way_back`: a path of this gateway), `assurance` (low, substantial, high),
  `max_age` (seconds), `prompt=login`, `hint` (a provider's name), `users` (citizen, staff, operator, by commas), `lang` (da,
  en) or `ui_locales`. A session that is enough goes on at once; else the choice of provider, or straight on where there is one.
* `GET /login/callback/<provider>`: where a provider sends the browser back to. Each provider has one of its own.
* `GET /login/done`: for people.
* `GET`, `POST /logout`, `GET /logout/done`, `POST /login/backchannel/<provider>`: `out`.

All state between two of these is in a sealed cookie of that browser, or a row in the database: any process may answer.
"""

from __future__ import annotations

import datetime as dt
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.access import Assurance, Kind
from gateway.clock import Clock
from gateway.errors import Busy, Unavailable
from gateway.fhir.ids import Ids
from gateway.identity.attempts import Attempts, Limit
from gateway.identity.login import mapping, pages
from gateway.identity.login.answers import failed, go, language_of, page_of, switched
from gateway.identity.login.asked import Asked, Flow
from gateway.identity.login.faults import Fault, LoginFailed, TooLow
from gateway.identity.login.profiles import Wish
from gateway.identity.login.relying import Relying, Secrets, refused
from gateway.identity.login.sessions import LoginSessions
from gateway.identity.login.words import LEVELS, TEXTS
from gateway.identity.on_record import Act, Happened, Record, actor_of
from gateway.identity.on_record import refused as refused_on_record
from gateway.identity.sealed import Sealer, way_back
from gateway.identity.session import Session
from gateway.observe import events

FLOW_LIFETIME: Final = dt.timedelta(minutes=15)
FAILURES: Final = Limit("login", 3, FLOW_LIFETIME)
"""Of one log-in under way: each answer that does not hold asks the provider once more. Passwords are tried there, not here."""
FLOWS_MAX: Final = 4
"""Log-ins under way in one browser: abandoned ones would make its requests longer and longer."""
Current = Callable[[str], Awaitable[str]]
"""`Patient/<id>` → the record that replaced it, itself where none did. Raises Unavailable."""
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ZONE: Final = ZoneInfo("Europe/Copenhagen")


class LoginDoor:
    """The log-in of one gateway. `relying` are its providers by name, `levels` the least assurance of each kind of user."""

    def __init__(
        self,
        relying: Mapping[str, Relying],
        sessions: LoginSessions,
        *,
        secure: bool,
        levels: Mapping[Kind, Assurance],
        ids: Ids,
        clock: Clock,
        tell: events.Tell,
        record: Record,
        current: Current,
        attempts: Attempts,
    ) -> None:
        self._attempts = attempts
        self._current = current
        self._record = record
        self._relying = relying
        self._sessions = sessions
        self._levels = levels
        self._ids = ids
        self._clock = clock
        self._tell = tell
        self._then = way_back(ids, clock)
        self._flows = Sealer(ids.derive("login"), "flow", clock)
        self._secure = secure

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at the root."""
        return [
            Route("/login", page_of(self._login, self._tell, self._then), methods=["GET"]),
            Route("/login/done", page_of(self._done, self._tell, self._then), methods=["GET"]),
            Route("/login/callback/{provider}", page_of(self._callback, self._tell, self._then), methods=["GET"]),
        ]

    async def _login(self, request: Request) -> Response:
        asked = Asked.of(request.query_params.multi_items(), language_of(request), self._then)
        session = await self._sessions.of_cookies(request.cookies)
        if session and asked.met_by(session, self._clock.now()):
            return go(asked.then or "/login/done")
        hinted = asked.hint or (session.login.idp if session and asked.wants(session.login.kind) else "")
        fitting = [name for name, each in self._relying.items() if any(map(each.provider.takes, _kinds(asked)))]
        names = [hinted] if hinted in self._relying else fitting or list(self._relying)
        if len(names) == 1:
            return await self._leave(names[0], asked, session, request.cookies)
        return self._choice(asked, names)

    def _choice(self, asked: Asked, names: Sequence[str]) -> Response:
        titles = {name: self._relying[name].provider for name in names}
        links = [
            (asked.link(self._then, hint=name), provider.title_da if asked.language == "da" else provider.title_en)
            for name, provider in titles.items()
        ]
        body = [pages.paragraph(TEXTS["choose_text"][asked.language]), pages.choices(links)]
        return pages.page(asked.language, TEXTS["choose"][asked.language], body, other=self._other(asked))

    async def _leave(self, name: str, asked: Asked, session: Session | None, cookies: Mapping[str, str]) -> Response:
        """Send the browser to a provider, with what its answer must match in a cookie."""
        relying = self._relying[name]
        kind = next((each for each in _kinds(asked) if relying.provider.takes(each)), Kind.STAFF)
        higher = session is not None and session.login.idp == name and session.login.assurance < asked.assurance
        level = max(asked.assurance, self._levels[kind])
        wish = Wish(kind, level, asked.language, asked.max_age, force=asked.force or higher, step_up=higher)
        flow = Flow(name, Secrets(), asked, wish, self._clock.now())
        answer = go(await relying.address(wish, flow.own))
        sealed = self._flows.seal(flow.as_json(), FLOW_LIFETIME)
        self._set(answer, self._flow_cookie(flow.own.state), sealed, int(FLOW_LIFETIME.total_seconds()))
        for old in [each for each in cookies if each.startswith(self._flow_cookie(""))][: -(FLOWS_MAX - 1)]:
            answer.delete_cookie(old, path="/", secure=self._secure, httponly=True)
        return answer

    async def _callback(self, request: Request) -> Response:
        name, given = request.path_params["provider"], dict(request.query_params)
        flow = self._flow(name, given.get("state", ""), request.cookies)
        try:
            await self._attempts.refuse(FAILURES, flow.own.state)
            answer = await self._entered(flow, given, request)
        except Busy:
            raise LoginFailed(Fault.GONE, "answers to this log-in did not hold before") from None
        except (LoginFailed, Unavailable) as failure:
            await self._attempts.failed(FAILURES, flow.own.state)
            told = failure if isinstance(failure, LoginFailed) else LoginFailed(Fault.UNREACHABLE, failure.text)
            status, why = told.fault.status.value, told.fault.value
            source = request.client.host if request.client else ""
            await refused_on_record(self._record, Happened(Act.LOGIN, name, status=status, why=why, source=source))
            answer = failed(told, flow.asked, self._tell, self._then, provider=name)
        answer.delete_cookie(self._flow_cookie(flow.own.state), path="/", secure=self._secure, httponly=True)
        return answer

    def _flow(self, name: str, state: str, cookies: Mapping[str, str]) -> Flow:
        """Return the log-in under way that an answer belongs to. Raises LoginFailed (gone)."""
        if not _STATE.fullmatch(state):
            raise LoginFailed(Fault.GONE, "no state")
        said = self._flows.open(cookies.get(self._flow_cookie(state), ""))
        if said is None:
            raise LoginFailed(Fault.GONE, "no log-in under way")
        flow = Flow.of_json(said)
        if flow.provider != name or name not in self._relying or not hmac.compare_digest(flow.own.state, state):
            raise LoginFailed(Fault.GONE, "the answer belongs to another log-in")
        return flow

    async def _entered(self, flow: Flow, given: Mapping[str, str], request: Request) -> Response:
        relying = self._relying[flow.provider]
        await relying.refuse_other(given.get("iss"))
        if "error" in given:
            raise refused(given["error"])
        if not given.get("code"):
            raise LoginFailed(Fault.INVALID, "no code")
        verified = await relying.finish(given["code"], flow.own, began=flow.began, wish=flow.wish)
        login = mapping.login_of(flow.provider, relying.provider, verified.claims, self._ids, verified.at)
        if login.person:  # what apps are told is the record that counts, whatever number a hospital has merged
            login = replace(login, person=await self._current(login.person))
        if login.assurance < (needed := max(flow.asked.assurance, self._levels[login.kind])):
            raise TooLow(needed, login.assurance)
        begun = await self._sessions.begin(
            login, id_token=verified.id_token, until=verified.until, cookies=request.cookies
        )
        if begun is None:
            raise LoginFailed(Fault.ENDED, "the provider's session has ended")
        source = request.client.host if request.client else ""
        actor = actor_of(login, begun[1].id)
        await self._record(Happened(Act.LOGIN, flow.provider, actor, source=source))
        self._tell(events.LoggedIn(flow.provider, login.kind.value, login.assurance.name.lower()))
        answer = go(flow.asked.then or "/login/done")
        self._set(answer, self._sessions.cookie, begun[0])
        return answer

    async def _done(self, request: Request) -> Response:
        session, language = await self._sessions.of_cookies(request.cookies), language_of(request)
        if session is None:
            return go("/login")
        text = TEXTS["done_text"][language].format(
            name=f"{session.login.name}. " if session.login.name else "",
            level=LEVELS[session.login.assurance][language],
            until=f"{session.expires.astimezone(_ZONE):%H:%M}",
        )
        body = [pages.paragraph(text), pages.action("/logout", TEXTS["logout"][language])]
        return pages.page(language, TEXTS["done"][language], body, other=switched("/login/done", language))

    def _other(self, asked: Asked) -> str:
        return asked.link(self._then, language="en" if asked.language == "da" else "da")

    def _flow_cookie(self, state: str) -> str:
        return f"{'__Host-' if self._secure else ''}sundbro-login-{state[:12]}"

    def _set(self, answer: Response, name: str, value: str, seconds: int | None = None) -> None:
        answer.set_cookie(name, value, seconds, path="/", secure=self._secure, httponly=True, samesite="lax")


def _kinds(asked: Asked) -> list[Kind]:
    """Return the kinds of people that are asked for."""
    return [kind for kind in (Kind.CITIZEN, Kind.STAFF, Kind.OPERATOR) if asked.wants(kind)]
