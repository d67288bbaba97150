"""What the addresses of the log-in answer with, and how they read what a browser sends. No log-in happens here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.errors import Unavailable
from gateway.identity.login import pages
from gateway.identity.login.asked import Asked, local
from gateway.identity.login.faults import Fault, LoginFailed, TooLow
from gateway.identity.login.words import FAULTS, LEVELS, TEXTS, Language
from gateway.identity.sealed import Sealer
from gateway.observe import events

BODY_BYTES_MAX: Final = 32 << 10
NO_STORE: Final = {"cache-control": "no-store"}
Handler = Callable[[Request], Awaitable[Response]]


def go(address: str) -> Response:
    """Return 303: to a path of ours, or an address that a provider's checked metadata gave."""
    assert not address.startswith("/") or local(address)
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, {**NO_STORE, "referrer-policy": "no-referrer"})


def language_of(request: Request) -> Language:
    """Return the language of a page."""
    asked = request.query_params.get("lang") or request.query_params.get("ui_locales", "")[:2].lower()
    return pages.language_of(asked, request.headers.get("accept-language", ""))


def switched(path: str, language: Language) -> str:
    """Return a page's address in the other language."""
    return f"{path}?lang={'en' if language == 'da' else 'da'}"


def origin(address: str) -> str:
    """Return scheme and host of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form. Raises LoginFailed (wrong) for more than 32 KiB."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise LoginFailed(Fault.WRONG, "a body of more than 32 KiB")
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def page_of(handler: Handler, tell: events.Tell, sealer: Sealer) -> Handler:
    """Return an endpoint that tells every failure of `handler` as a person understands it."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except LoginFailed as failure:
            return failed(failure, Asked(language_of(request)), tell, sealer)
        except Unavailable as failure:
            return failed(LoginFailed(Fault.UNREACHABLE, failure.text), Asked(language_of(request)), tell, sealer)

    return endpoint


def failed(failure: LoginFailed, asked: Asked, tell: events.Tell, sealer: Sealer, *, provider: str = "") -> Response:
    """Return the page of a failure: what happened, and a way to go on with what was asked."""
    tell(events.LoginRefused(provider, failure.fault.value, failure.detail))
    language = asked.language
    title, text = FAULTS[failure.fault][language]
    link, again = asked.link(sealer), TEXTS["again"][language]
    if isinstance(failure, TooLow):
        text = text.format(needed=LEVELS[failure.needed][language], given=LEVELS[failure.given][language])
        link = asked.link(sealer, assurance=failure.needed, force=True)
        again = TEXTS["stronger"][language]
    body = [pages.paragraph(text)]
    if failure.fault not in {Fault.LINK, Fault.WRONG}:
        body.append(pages.action(link, again))
    return pages.page(language, title, body, status=failure.fault.status)
