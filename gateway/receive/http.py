"""The HTTP door: `POST /ingest/{feed}` and the receipts it gives. Routes only; the server and the tokens are others'.

Answers, as JSON:

* one message: 202 `{"receipt", "status"}`; `status` is the address to ask.
* several (NDJSON always, other formats when a body holds several): 202 and a list in the body's order. A message of a
  batch that is not the feed's format has `{"state": "refused", "reasons": [...]}` in its place: it was **not** written
  down, the others were. When none could be taken, the answer is 422 with all reasons.
* `GET` of a receipt: `{"state": "waiting|stored|rejected|duplicate", "resources": [...], "reasons": [...]}`, with
  `duplicate_of` (the address of the first arrival's receipt) and `acknowledgement` (an address) where there is one.
* whatever is refused: a problem (`problems`), and nothing was written down, 503 excepted: then it is not known, and the
  sender sends again (a second arrival of the same bytes becomes a duplicate).

Who may post to a feed may ask about its receipts, and nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import errors
from gateway.errors import Misconfigured
from gateway.formats import json
from gateway.model import Feed, Reason, reasons_json
from gateway.observe import events
from gateway.receive import http_body, problems
from gateway.receive.intake import LINES, Intake, media_types, reason
from gateway.receive.outcomes import Ask
from gateway.receive.receipts import Receipts, address
from gateway.store.port import MessageState

DOOR: Final = "http"
_NO_STORE: Final = {"cache-control": "no-store"}


class Client(Protocol):
    """A registered client."""

    @property
    def client(self) -> str:
        """Its name, which is also that of the sender where a message has no person."""
        ...


class Poster(Protocol):
    """Who sends a request, as far as this door cares: an `identity.principal.Principal`."""

    @property
    def actor(self) -> Client:
        """The client that the token was given to."""
        ...

    def may_post(self, feed: str) -> bool:
        """Tell whether it may post to a feed, and ask about its receipts."""
        ...


Authorise = Callable[[Request], Awaitable[Poster]]
"""Says who sends a request; raises errors.Unauthenticated when nobody known does."""

Refused = Callable[[str, str, str, errors.SundbroError], Awaitable[None]]
"""Has it on record that somebody was refused: (feed, client, IP address, the refusal). Raises Unavailable."""

_Handler = Callable[[Request, Feed, Poster], Awaitable[Response]]


class HttpDoor:
    """The ingest routes of one process. Raises Misconfigured for a feed with this door and without content types."""

    def __init__(
        self,
        intake: Intake,
        *,
        receipts: Receipts,
        ask: Ask,
        authorise: Authorise,
        tell: events.Tell,
        limits: http_body.Limits,
        refused: Refused | None = None,
    ) -> None:
        self._intake = intake
        self._refused = refused
        self._receipts = receipts
        self._ask = ask
        self._authorise = authorise
        self._tell = tell
        self._limits = limits
        for feed in intake.feeds(DOOR):
            if not feed.content_types:
                raise Misconfigured(f"the feed {feed.name} comes through HTTP and names no content_types")

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at the root."""
        post, receipt = "/ingest/{feed}", "/ingest/{feed}/receipts/{receipt}"
        return [
            Route(post, self._guarded("POST", self._post), methods=_METHODS),
            Route(receipt, self._guarded("GET", self._status), methods=_METHODS),
            Route(f"{receipt}/acknowledgement", self._guarded("GET", self._acknowledgement), methods=_METHODS),
        ]

    def _guarded(self, method: str, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint: who is asking, for which feed, may it; then `handler`. Every refusal is a problem."""

        async def endpoint(request: Request) -> Response:
            feed_name = client = ""
            try:
                allowed = (method, "HEAD") if method == "GET" else (method,)
                if request.method not in allowed:
                    raise errors.NotAllowed(f"this address takes {' and '.join(allowed)}")
                poster = await self._authorise(request)
                client = poster.actor.client
                feed = self._intake.feed(request.path_params["feed"], DOOR)
                feed_name = feed.name
                if not poster.may_post(feed_name):
                    raise errors.Denied("this token may not post to this feed")
                return await handler(request, feed, poster)
            except errors.SundbroError as error:
                if isinstance(error, errors.Unauthenticated | errors.Denied):
                    why = "unauthenticated" if isinstance(error, errors.Unauthenticated) else "denied"
                    self._tell(events.AccessRefused("ingest", why))
                    error = await self._noted(request, feed_name, client, error)
                if method == "POST":
                    self._intake.refused(feed_name, DOOR, str(error.status))
                return problems.response(error, *_details(error, method, self._intake.feeds(DOOR), feed_name))

        return endpoint

    async def _noted(self, request: Request, feed: str, client: str, error: errors.SundbroError) -> errors.SundbroError:
        """Have a refusal on record; return it, or that it could not be."""
        try:
            if self._refused is not None:
                await self._refused(feed, client, request.client.host if request.client else "", error)
        except errors.Unavailable as away:
            return away
        return error

    async def _post(self, request: Request, feed: Feed, poster: Poster) -> Response:
        headers = request.headers
        content_type = media_type(headers.get("content-type", ""), feed)
        with self._intake.inflight.hold() as hold:
            try:
                body = await http_body.read(
                    request.stream(),
                    encoding=headers.get("content-encoding", ""),
                    length=headers.get("content-length", ""),
                    limits=self._limits,
                    hold=hold,
                )
            except ClientDisconnect:
                raise errors.Incorrect("the sender went away in the middle of the body") from None
            receipts = await self._intake.take(
                feed.name,
                body,
                content_type,
                door=DOOR,
                sender=poster.actor.client,
                traceparent=headers.get("traceparent", ""),
                hold=hold,
            )
        if all(receipt.refused for receipt in receipts):
            refusal = errors.Unprocessable("no message in this body could be taken")
            return problems.response(refusal, [reason for receipt in receipts for reason in receipt.reasons])
        entries = [receipt.as_json(feed.name) for receipt in receipts]
        if content_type in LINES or len(entries) > 1:
            return _json(entries, HTTPStatus.ACCEPTED)
        return _json(entries[0], HTTPStatus.ACCEPTED, {"location": str(entries[0]["status"])})

    async def _status(self, request: Request, feed: Feed, _: Poster) -> Response:
        receipt = self._ours(request, feed)
        row = await self._ask(receipt)
        if row is None:
            waiting = {"state": MessageState.WAITING.value, "resources": [], "reasons": []}
            return _json(waiting, HTTPStatus.OK, {**_NO_STORE, "retry-after": "1"})
        told: dict[str, object] = {
            "state": row.state.value,
            "resources": list(row.resources),
            "reasons": reasons_json(row.reasons),
        }
        if row.duplicate_of:
            told["duplicate_of"] = address(feed.name, row.duplicate_of)
        if row.reply is not None:
            told["acknowledgement"] = address(feed.name, receipt) + "/acknowledgement"
        return _json(told, HTTPStatus.OK, _NO_STORE)

    async def _acknowledgement(self, request: Request, feed: Feed, _: Poster) -> Response:
        row = await self._ask(self._ours(request, feed))
        if row is None or row.reply is None:
            raise errors.NotFound("this message has no acknowledgement (yet)")
        return Response(row.reply, HTTPStatus.OK, _NO_STORE, row.reply_content_type)

    def _ours(self, request: Request, feed: Feed) -> str:
        receipt = str(request.path_params["receipt"])
        if not self._receipts.ours(feed.name, receipt):
            raise errors.NotFound("there is no such receipt of this feed")
        return receipt


_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""All are routed, so that a wrong one is answered with a problem as well."""


def media_type(header: str, feed: Feed) -> str:
    """Return the bare media type of a Content-Type header in lower case.

    Raises errors.UnsupportedMedia, naming what the feed takes: another type, none, or JSON in another character set
    than UTF-8 (RFC 8259 §8.1). The character set of other formats is said inside them, or by the feed file.
    """
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    taken = media_types(feed)
    if kind not in taken:
        raise errors.UnsupportedMedia(f"this feed takes {', '.join(taken)}", at="Content-Type")
    charset = next(
        (value.strip('" ') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"), ""
    )
    if charset not in {"", "utf-8", "utf8", "us-ascii"} and kind.endswith("json"):
        raise errors.UnsupportedMedia("JSON is sent in UTF-8", at="Content-Type")
    return kind


def _details(
    error: errors.SundbroError, method: str, feeds: Sequence[Feed], feed_name: str
) -> tuple[list[Reason], dict[str, str]]:
    """Return the reasons and headers that go with a refusal."""
    if isinstance(error, errors.UnsupportedMedia):
        feed = next((feed for feed in feeds if feed.name == feed_name), None)
        return [], {"accept": ", ".join(media_types(feed)) if feed else "", "accept-encoding": "gzip"}
    if isinstance(error, errors.NotAllowed):
        return [], {"allow": "GET, HEAD" if method == "GET" else method}
    if isinstance(error, errors.Unprocessable):
        return [reason(error)], {}
    return [], {}


def _json(value: object, status: HTTPStatus, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(value), status, headers, "application/json")
