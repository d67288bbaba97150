"""Logging out: by the user, here and at the provider (RP-Initiated Logout 1.0), or by the provider (Back-Channel Logout 1.0)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.clock import Clock
from gateway.errors import Unavailable
from gateway.fhir.ids import Ids
from gateway.identity.login import mapping, pages
from gateway.identity.login.answers import NO_STORE, form_of, go, language_of, origin, page_of, switched
from gateway.identity.login.endings import Endings
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.relying import Relying
from gateway.identity.login.sessions import LoginSessions
from gateway.identity.login.words import TEXTS
from gateway.identity.sealed import Sealer, way_back
from gateway.observe import events

FORM_LIFETIME: Final = dt.timedelta(hours=1)


class LogoutDoor:
    """The addresses under which a session ends."""

    def __init__(
        self,
        relying: Mapping[str, Relying],
        sessions: LoginSessions,
        *,
        address: str,
        ids: Ids,
        clock: Clock,
        tell: events.Tell,
        endings: Endings,
    ) -> None:
        self._endings = endings
        self._relying = relying
        self._sessions = sessions
        self._address = address
        self._ids = ids
        self._tell = tell
        self._then = way_back(ids, clock)
        self._forms = Sealer(ids.derive("login"), "logout", clock)
        self._secure = address.startswith("https://")

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at the root."""
        return [
            Route("/login/backchannel/{provider}", self._backchannel, methods=["POST"]),
            Route("/logout", page_of(self._ask, self._tell, self._then), methods=["GET"]),
            Route("/logout", page_of(self._logout, self._tell, self._then), methods=["POST"]),
            Route("/logout/done", page_of(self._left, self._tell, self._then), methods=["GET"]),
        ]

    async def _ask(self, request: Request) -> Response:
        session, language = await self._sessions.of_cookies(request.cookies), language_of(request)
        if session is None:
            return go("/logout/done")
        form = {"form": self._forms.seal(session.id, FORM_LIFETIME)}
        body = [
            pages.paragraph(TEXTS["logout_text"][language]),
            pages.button("/logout", TEXTS["logout"][language], form),
        ]
        # A form may lead only to where the policy says, redirects included: here on to the provider, which ends its own.
        origins = [origin(found)] if (found := await self._logout_address(session.login.idp, "")) else []
        switch = switched("/logout", language)
        return pages.page(language, TEXTS["logout"][language], body, other=switch, forms=origins)

    async def _logout(self, request: Request) -> Response:
        session = await self._sessions.of_cookies(request.cookies)
        form = await form_of(request)
        if session is None:
            return go("/logout/done")
        if self._forms.open(form.get("form", "")) != session.id:
            raise LoginFailed(Fault.WRONG, "a log-out that this browser did not ask for")
        ended = await self._sessions.end(request.cookies)
        hint = ended[1] if ended else ""
        await self._endings.told([session.id], _source(request))
        answer = go(await self._logout_address(session.login.idp, hint) or "/logout/done")
        answer.delete_cookie(self._sessions.cookie, path="/", secure=self._secure, httponly=True)
        return answer

    async def _logout_address(self, idp: str, hint: str) -> str:
        """Return where the provider ends its session, '' where it does not, or does not answer: ours ends all the same."""
        if (relying := self._relying.get(idp)) is None:
            return ""
        try:
            return await relying.logout_address(hint, f"{self._address}/logout/done")
        except LoginFailed as failure:
            self._tell(events.LoginRefused(idp, failure.fault.value, failure.detail))
            return ""

    async def _left(self, request: Request) -> Response:
        language = language_of(request)
        body = [pages.paragraph(TEXTS["left_text"][language]), pages.action("/login", TEXTS["choose"][language])]
        return pages.page(language, TEXTS["left"][language], body, other=switched("/logout/done", language))

    async def _backchannel(self, request: Request) -> Response:
        """End the sessions that a logout token names. 400 for one that does not hold, 503 to be asked again."""
        name = request.path_params["provider"]
        try:
            await self._end_named(name, await form_of(request), _source(request))
        except LoginFailed as failure:
            known = name if name in self._relying else ""
            self._tell(events.LoginRefused(known, failure.fault.value, f"logout token: {failure.detail}"))
            later = failure.fault is Fault.UNREACHABLE
            status = HTTPStatus.SERVICE_UNAVAILABLE if later else HTTPStatus.BAD_REQUEST
            return JSONResponse({"error": "invalid_request"}, status, NO_STORE)
        except Unavailable:
            return JSONResponse({"error": "temporarily_unavailable"}, HTTPStatus.SERVICE_UNAVAILABLE, NO_STORE)
        return Response(status_code=HTTPStatus.OK, headers=NO_STORE)

    async def _end_named(self, name: str, form: Mapping[str, str], source: str) -> None:
        if (relying := self._relying.get(name)) is None:
            raise LoginFailed(Fault.WRONG, "no such provider")
        claims = await relying.judge.logout(form.get("logout_token"))
        sub, sid = claims.get("sub") or "", claims.get("sid") or ""
        subject = mapping.subject(self._ids, relying.provider.issuer, sub) if sub else ""
        ended = await self._sessions.end_by_broker(name, sid=sid, subject=subject, jti=claims["jti"])
        if ended is None:
            raise LoginFailed(Fault.INVALID, "jti was used before")
        if ended:
            await self._endings.told(ended, source)


def _source(request: Request) -> str:
    return request.client.host if request.client else ""
