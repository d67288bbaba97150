"""The FHIR API over a real store, asked without a socket: what each caller gets, to the byte.

Whom a token speaks for is what the test says: `Authorization: Bearer <name>` of an Actor that it was given.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.access import Actor, Assurance, Kind, Policy, Purpose
from gateway.access import scopes as access_scopes
from gateway.clock import FrozenClock
from gateway.fhir.ids import Ids
from gateway.formats import json
from gateway.identity import Principal
from gateway.model import Resource
from gateway.search.index import extract
from gateway.serve import FhirApi
from gateway.serve.operations import operations
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores
from tests.contracts.operations import SHELF

ADDRESS = "https://gateway.example"
BASE = f"{ADDRESS}/fhir"
NOON = dt.datetime(2026, 11, 22, 11, 0, tzinfo=dt.UTC)
SECRET = b"0123456789abcdef"


@dataclass
class Callers:
    """The Authenticates port: a token is the name of an Actor."""

    known: dict[str, Actor] = field(default_factory=dict)

    def authorise(self, authorization: str | None) -> Principal:
        actor = self.known[(authorization or "").removeprefix("Bearer ")]
        return Principal(actor, "test", "token", NOON + dt.timedelta(days=3650))

    async def of_scope(self, _scope: Any, authorization: str | None) -> Principal:
        return self.authorise(authorization)


@dataclass
class Told:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def ids(self) -> list[str]:
        """`Type/id` of the entries that are resources, in order."""
        entries = (self.json or {}).get("entry", ())
        found = [entry["resource"] for entry in entries if "resource" in entry]
        return [f"{one['resourceType']}/{one['id']}" for one in found if one["resourceType"] != "OperationOutcome"]

    @property
    def next(self) -> str:
        links = {link["relation"]: link["url"] for link in self.json.get("link", ())}
        return links.get("next", "").removeprefix(BASE)


class Gateway:
    """One world: a store of its own, the API over it, and a clock that stands still."""

    def __init__(self, url: str, *, at: dt.datetime = NOON, policy: Policy | None = None, schema: str = "") -> None:
        self.runner = asyncio.Runner()
        self.store_url = url
        self.clock = FrozenClock(at)
        self.callers = Callers({"all": actor("system/*.cruds")})
        self.store = PostgresStore(
            url,
            outbox_partition=stores.partition,
            extract=extract,
            merge=stores.merge,
            schema=schema or f"l_{secrets.token_hex(4)}",
            clock=self.clock,
        )
        policy = policy or Policy()
        rows = operations(
            self.store, shelf=SHELF, pages=Pages(SECRET, self.clock), base=BASE, clock=self.clock, policy=policy
        )
        self.api = FhirApi(
            self.store,
            identity=self.callers,
            address=ADDRESS,
            secret=SECRET,
            ids=Ids(SECRET),
            clock=self.clock,
            operations=rows,
            codes=StoredTerminology(PermittedStore(self.store, self.clock, policy), SHELF).for_search,
            policy=policy,
        )
        self.runner.run(self.store.start())

    def stop(self) -> None:
        self.runner.run(self.store.stop())
        self.runner.close()

    def know(self, name: str, who: Actor) -> None:
        self.callers.known[name] = who

    def put(self, *resources: Resource) -> None:
        """Write resources as a system does, one transaction."""
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in resources
        ]
        told = self.ask("all", "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert told.status == 200, told.body

    def ask(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Told:
        return self.runner.run(self.answer(who, method, path, body, **headers))

    def get(self, who: str, path: str, **headers: str) -> Told:
        return self.ask(who, "GET", path, **headers)

    async def answer(self, who: str, method: str, path: str, body: Any = None, **headers: str) -> Told:
        path, _, query = path.partition("?")
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body)
        named = {"authorization": f"Bearer {who}", "accept": "application/fhir+json", **headers}
        if sent and "content-type" not in named:
            named["content-type"] = "application/fhir+json"
        if sent:
            named["content-length"] = str(len(sent))
        scope = {
            "type": "http",
            "method": method,
            "path": "/fhir" + (f"/{path.lstrip('/')}" if path else ""),
            "query_string": query.encode(),
            "headers": [(key.replace("_", "-").encode(), value.encode()) for key, value in named.items()],
        }
        waiting = [{"type": "http.request", "body": sent, "more_body": False}]
        parts: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(part: dict[str, Any]) -> None:
            parts.append(part)

        await self.api(scope, receive, send)
        start = parts[0]
        return Told(
            start["status"],
            {key.decode(): value.decode() for key, value in start["headers"]},
            b"".join(part.get("body", b"") for part in parts[1:]),
        )

    def pages(self, who: str, path: str) -> list[str]:
        """What a search finds, all its pages, matches and what comes along."""
        found: list[str] = []
        while path:
            told = self.get(who, path)
            assert told.status == 200, (path, told.body)
            found += told.ids
            path = told.next
        return found


@contextlib.contextmanager
def gateway(url: str, **more: Any) -> Iterator[Gateway]:
    made = Gateway(url, **more)
    try:
        yield made
    finally:
        made.stop()


def actor(*scopes: str, **more: Any) -> Actor:
    return Actor("client", access_scopes.parse(scopes), **more)


def citizen(person: str, *scopes: str, **more: Any) -> Actor:
    """A citizen who looks at what is his: `person` is the id of his Patient."""
    return actor(
        *(scopes or ("patient/*.cruds",)),
        kind=Kind.CITIZEN,
        purpose=Purpose.OWN,
        subject=f"sub-{person}",
        person=f"Patient/{person}",
        assurance=Assurance.SUBSTANTIAL,
        **more,
    )


def staff(organisation: str, *scopes: str, **more: Any) -> Actor:
    """A professional of an organisation (SOR code) who treats."""
    made = actor(
        *(scopes or ("user/*.cruds",)),
        kind=Kind.STAFF,
        purpose=Purpose.TREATMENT,
        subject=f"staff-{organisation}",
        organisation=organisation,
        role="7170",
        assurance=Assurance.SUBSTANTIAL,
    )
    return replace(made, **more)
