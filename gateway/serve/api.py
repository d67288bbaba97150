"""The FHIR API as one ASGI application: match, authenticate, handle, answer. Lean, because reads are many.

`/fhir/…` needs no framework: this answers everything below its base, unknown addresses included, each with a FHIR
resource. `openapi.fhir_routes` puts the same table into FastAPI for whoever mounts it there.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from gateway import errors
from gateway.access import Actor
from gateway.clock import Clock, SystemClock
from gateway.fhir.ids import Ids
from gateway.identity import Principal
from gateway.observe import events
from gateway.serve import answer as answers
from gateway.serve import metadata, read
from gateway.serve.answer import Answer, Header
from gateway.serve.asking import BODY_BYTES_MAX, Asking, Receive, Scope, Send, form, media_type, pairs_of, whole
from gateway.serve.create import CreateHandler
from gateway.serve.delete import DeleteHandler
from gateway.serve.history import HistoryHandler
from gateway.serve.lanes import Lanes
from gateway.serve.paging import Pages
from gateway.serve.patch import PatchHandler
from gateway.serve.perform import Performer
from gateway.serve.permitted import PermittedStore
from gateway.serve.pretty import pretty
from gateway.serve.routes import Interaction, find
from gateway.serve.search import SearchHandler
from gateway.serve.transaction import TransactionHandler
from gateway.serve.update import UpdateHandler
from gateway.store.port import Store

Handler = Callable[[Actor, Asking], Awaitable[Answer]]
ROOT: Final = "/fhir"


class Authenticates(Protocol):
    """Says whom an Authorization header speaks for: `identity.Verifier`."""

    def authorise(self, authorization: str | None) -> Principal:
        """Return the principal. Raises Unauthenticated."""
        ...


class FhirApi:
    """The API over a store.

    `address` is where callers reach the gateway (`https://gw.example`); the FHIR base is `/fhir` below it. `secret`
    (16 bytes or more, the same in all processes) seals page links; `ids` makes the lanes of persons.
    """

    def __init__(
        self,
        store: Store,
        *,
        identity: Authenticates,
        address: str,
        secret: bytes,
        ids: Ids | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
        tell: events.Tell = events.silent,
        clock: Clock | None = None,
    ) -> None:
        self.base = address.rstrip("/") + ROOT
        clock = clock or SystemClock()
        permitted, pages = PermittedStore(store), Pages(secret, clock)
        self._identity = identity
        self._tell = tell
        self._capabilities = metadata.capabilities(self.base, _version(), clock)
        self._handlers: dict[Interaction, Handler] = {
            Interaction.READ: lambda actor, asking: read.read(permitted, actor, asking),
            Interaction.VREAD: lambda actor, asking: read.vread(permitted, actor, asking),
            Interaction.HISTORY: HistoryHandler(permitted, pages, self.base),
            Interaction.SEARCH: SearchHandler(permitted, pages, self.base, clock),
        }
        performer = Performer(permitted, Lanes(store, (ids or Ids(secret)).lane), clock, self.base)
        self._handlers |= {
            Interaction.CREATE: CreateHandler(performer, self.base, clock),
            Interaction.UPDATE: UpdateHandler(performer, self.base, clock),
            Interaction.PATCH: PatchHandler(performer, self.base, clock),
            Interaction.DELETE: DeleteHandler(performer, self.base, clock),
            Interaction.TRANSACTION: TransactionHandler(
                performer, self._handle, self.base, clock, lambda error: self._note(error, Interaction.TRANSACTION)
            ),
        }
        self._body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, whose path begins with `/fhir`."""
        begun = time.perf_counter()
        interaction, kind = Interaction.UNKNOWN, ""
        content_type, indented = answers.FHIR_JSON, False
        try:
            headers = dict(scope["headers"])
            matched = find(scope["method"], scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(ROOT))
            interaction, kind = matched.route.interaction, matched.type
            actor = None
            if matched.route.letter is not None:
                actor = self._identity.authorise(headers.get(b"authorization", b"").decode("latin-1")).actor
            pairs = pairs_of(scope["query_string"])
            body = b""
            if interaction is Interaction.SEARCH and scope["method"] == "POST":
                pairs += pairs_of(await form(receive, headers.get(b"content-type", b"").decode("latin-1")))
            elif scope["method"] in {"POST", "PUT", "PATCH"}:
                body = await whole(receive, self._body_bytes_max)
            asking = Asking(matched, headers, pairs, actor, body)
            indented = asking.take("_pretty") == "true"
            content_type = media_type(asking.header(b"accept"), asking.take("_format"))
            answer = await self._handle(actor, asking)
        except Exception as error:  # noqa: BLE001 - the last place where a bug can become an answer
            answer = answers.refusal(error)
            self._note(error, interaction)
        body = pretty(answer.resource) if indented and answer.resource else answer.resource
        await _send(send, answer, body, content_type, head=scope["method"] == "HEAD")
        self._tell(events.RequestAnswered(interaction.value, kind, answer.status, time.perf_counter() - begun))

    async def _handle(self, actor: Actor | None, asking: Asking) -> Answer:
        matched = asking.matched
        if matched.route.interaction is Interaction.CAPABILITIES:
            return Answer(200, self._capabilities)
        if actor is None:
            raise AssertionError("a route that needs no token has no handler here")
        return await self._handlers[matched.route.interaction](actor, asking)

    def _note(self, error: Exception, interaction: Interaction) -> None:
        if word := answers.why(error):
            self._tell(events.AccessRefused(interaction.value, word))
        elif not isinstance(error, errors.SundbroError):
            self._tell(events.RoleCrashed("serve", _where(error)))


async def _send(send: Send, answer: Answer, body: bytes, content_type: str, *, head: bool) -> None:
    headers: list[Header] = [*answers.EVERY_ANSWER, *answer.headers]
    if body:
        headers.append((b"content-type", f"{content_type}; charset=utf-8".encode()))
    if answer.status != 304:  # noqa: PLR2004
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


def _where(error: BaseException) -> str:
    """Return an exception's class and the last line of ours that it passed, never its text."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/gateway/" in code.co_filename:
            place = f" at gateway/{code.co_filename.rpartition('/gateway/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return type(error).__name__ + place


def _version() -> str:
    try:
        return importlib.metadata.version("sundbro")
    except importlib.metadata.PackageNotFoundError:
        return "0"
