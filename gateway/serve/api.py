"""The FHIR API as one ASGI application: match, authenticate, handle, answer. Lean, because reads are many.

`/fhir/…` needs no framework: this answers everything below its base, unknown addresses included, each with a FHIR
resource. `openapi.fhir_routes` puts the same table into FastAPI for whoever mounts it there.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from gateway import errors
from gateway.access import Actor, Policy
from gateway.access.policy import DEFAULT
from gateway.clock import Clock, SystemClock
from gateway.fhir.ids import Ids
from gateway.formats.packed import Limits
from gateway.identity import Principal
from gateway.observe import events
from gateway.serve import answer as answers
from gateway.serve import body as bodies
from gateway.serve import media, operation, read, seen, sending
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking, Receive, Scope, Send, form, pairs_of
from gateway.serve.auditing import Auditor
from gateway.serve.create import CreateHandler
from gateway.serve.delete import DeleteHandler
from gateway.serve.history import HistoryHandler
from gateway.serve.lanes import Lanes
from gateway.serve.metadata import Capabilities
from gateway.serve.operation import Operation
from gateway.serve.paging import Pages
from gateway.serve.patch import PatchHandler
from gateway.serve.perform import Performer
from gateway.serve.permitted import PermittedStore
from gateway.serve.routes import FORM, TABLE, Interaction, Matched, Routes
from gateway.serve.search import Codes, SearchHandler
from gateway.serve.shaping import shaped_answer
from gateway.serve.transaction import TransactionHandler
from gateway.serve.update import UpdateHandler
from gateway.store.port import Store

Handler = Callable[[Actor, Asking], Awaitable[Answer]]
ROOT: Final = "/fhir"
_BODIES: Final = frozenset({"POST", "PUT", "PATCH"})
_READS: Final = frozenset({Interaction.READ, Interaction.VREAD})
_PREFERS_HANDLING: Final = frozenset(
    {
        Interaction.READ,
        Interaction.VREAD,
        Interaction.HISTORY,
        Interaction.HISTORY_TYPE,
        Interaction.HISTORY_SYSTEM,
        Interaction.SEARCH,
        Interaction.SEARCH_SYSTEM,
        Interaction.SEARCH_COMPARTMENT,
    }
)


class Authenticates(Protocol):
    """Says whom a request speaks for: the authorization server's acceptance, or `identity.Verifier`."""

    async def of_scope(self, scope: Scope, authorization: str | None, /) -> Principal:
        """Return the principal of an ASGI request with this Authorization header. Raises Unauthenticated."""
        ...


class FhirApi:
    """The API over a store.

    `address` is where callers reach the gateway (`https://gw.example`); the FHIR base is `/fhir` below it. `secret`
    (16 bytes or more, the same in all processes) seals page links; `ids` makes the lanes of persons.
    `operations` are rows with their handlers; `codes` fetches what searches by `:in`, `:below` … need; `security` is what the
    CapabilityStatement says of tokens. `audit` writes down who was shown what, before it is shown; `views` answer for types
    that are not stored, and only read.
    """

    def __init__(
        self,
        store: Store,
        *,
        identity: Authenticates,
        address: str,
        secret: bytes,
        ids: Ids | None = None,
        tell: events.Tell = events.silent,
        clock: Clock | None = None,
        limits: Limits | None = None,
        operations: Sequence[tuple[Operation, operation.Handler]] = (),
        codes: Codes | None = None,
        security: Mapping[str, Any] | None = None,
        audit: Auditor | None = None,
        views: Mapping[str, Handler] | None = None,
        policy: Policy = DEFAULT,
    ) -> None:
        self.base = address.rstrip("/") + ROOT
        clock = clock or SystemClock()
        permitted, pages = PermittedStore(store, clock, policy), Pages(secret, clock)
        self._identity = identity
        self._tell = tell
        self._limits = limits or Limits()
        self._audit = audit
        self.operations = tuple(row for row, _ in operations)
        self._views = dict(views or {})
        rows = (*TABLE, *(route for row in self.operations for route in operation.rows(row)))
        self.routes = Routes(rows, read_only=self._views)
        self._operations = {
            (route.pattern, route.types): handler for row, handler in operations for route in operation.rows(row)
        }
        self.capabilities = Capabilities(
            self.base, version(), clock, self.routes.rows, self.operations, security, frozenset(self._views)
        )
        history = HistoryHandler(permitted, pages, self.base)
        search = SearchHandler(permitted, pages, self.base, clock, codes)
        self._handlers: dict[Interaction, Handler] = {
            Interaction.READ: lambda actor, asking: read.read(permitted, actor, asking),
            Interaction.VREAD: lambda actor, asking: read.vread(permitted, actor, asking),
            Interaction.HISTORY: history,
            Interaction.HISTORY_TYPE: history.all,
            Interaction.HISTORY_SYSTEM: history.all,
            Interaction.SEARCH: search,
            Interaction.SEARCH_SYSTEM: search,
            Interaction.SEARCH_COMPARTMENT: search,
            Interaction.OPERATION: self._operate,
        }
        performer = Performer(permitted, Lanes(store, (ids or Ids(secret)).lane), clock, self.base)
        self._handlers |= {
            Interaction.CREATE: CreateHandler(performer, self.base, clock),
            Interaction.UPDATE: UpdateHandler(performer, self.base, clock),
            Interaction.PATCH: PatchHandler(performer, self.base, clock),
            Interaction.DELETE: DeleteHandler(performer, self.base, clock),
            Interaction.TRANSACTION: TransactionHandler(
                performer,
                self._handle,
                self.routes.find,
                self.base,
                clock,
                lambda error: self._note(error, Interaction.TRANSACTION),
            ),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, whose path begins with `/fhir`."""
        begun = time.perf_counter()
        interaction, kind = Interaction.UNKNOWN, ""
        headers, wanted, indented = dict(scope["headers"]), media.JSON, False
        asking, noted, why = Asking(Matched(TABLE[0]), headers, []), seen.begin(), ""
        try:
            asking.pairs = pairs_of(scope["query_string"])
            wanted = media.wanted(asking.header(b"accept"), asking.take("_format"))
            indented = _pretty(asking)
            path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(ROOT)
            asking.matched = matched = self.routes.find(scope["method"], path)
            interaction, kind = matched.route.interaction, matched.type
            if wanted.native or not wanted.acceptable:
                asking.native = media.native(wanted, binary=kind == "Binary" and interaction in _READS)
            if matched.route.letter is not None:
                asking.actor = (await self._identity.of_scope(scope, asking.header(b"authorization"))).actor
            if scope["method"] in _BODIES:
                await self._take_in(asking, receive)
            if self._audit is not None:
                self._audit.intend(scope, asking, noted)
            answer = await self._handle(asking.actor, asking)
            if b"prefer" in headers and interaction in _PREFERS_HANDLING:
                answer.headers += answers.handling_applied(asking.preference("handling"))
        except Exception as error:  # noqa: BLE001 - the last place where a bug can become an answer
            answer, why = answers.refusal(error), answers.why(error)
            self._note(error, interaction)
        if self._audit is not None:
            answer = await self._audit.record(scope, asking, noted, answer, why)
        status = await sending.send(send, answer, headers, wanted, indented=indented, head=scope["method"] == "HEAD")
        self._tell(events.RequestAnswered(interaction.value, kind, status, time.perf_counter() - begun))

    async def _handle(self, actor: Actor | None, asking: Asking) -> Answer:
        """Answer a request that was found, of nobody where a row is open to all; also an entry of a batch."""
        if asking.matched.route.letter is None:
            return self.capabilities.answer(asking)
        assert actor is not None
        interaction, kind = asking.matched.route.interaction, asking.matched.member or asking.matched.type
        if kind in self._views and interaction is not Interaction.OPERATION:
            return await self._views[kind](actor, asking)
        return await self._handlers[interaction](actor, asking)

    async def _take_in(self, asking: Asking, receive: Receive) -> None:
        """Read the body; a form's pairs stand with those of the address."""
        asking.body = await bodies.read(
            receive,
            encoding=asking.header(b"content-encoding"),
            length=asking.header(b"content-length"),
            limits=self._limits,
        )
        if asking.matched.route.takes == (FORM,):
            asking.pairs += form(asking.body, asking.header(b"content-type"))

    async def _operate(self, actor: Actor, asking: Asking) -> Answer:
        route = asking.matched.route
        return await shaped_answer(self._operations[route.pattern, route.types], actor, asking)

    def _note(self, error: Exception, interaction: Interaction) -> None:
        if word := answers.why(error):
            self._tell(events.AccessRefused(interaction.value, word))
        elif not isinstance(error, errors.SundbroError):
            self._tell(events.RoleCrashed("serve", _where(error)))


def _pretty(asking: Asking) -> bool:
    value = asking.take("_pretty")
    if value not in {"", "true", "false"} and not asking.lenient():
        raise errors.Incorrect("_pretty is true or false", at="_pretty")
    return value == "true"


def _where(error: BaseException) -> str:
    """Return an exception's class and the last line of ours that it passed, never its text."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/gateway/" in code.co_filename:
            place = f" at gateway/{code.co_filename.rpartition('/gateway/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return type(error).__name__ + place


def version() -> str:
    """Return the version of this program, `0` where it was not installed."""
    try:
        return importlib.metadata.version("sundbro")
    except importlib.metadata.PackageNotFoundError:
        return "0"
