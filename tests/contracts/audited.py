"""An API with its audit, over a real store and a real ledger, for callers of every kind: in process, through ASGI."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.access import Actor, Assurance, Kind, Purpose, Why
from gateway.access import scopes as access_scopes
from gateway.app import names
from gateway.audit.block import Line, lines
from gateway.audit.checkpoint import Key
from gateway.audit.ledger import Ledger
from gateway.audit.record import Record
from gateway.clock import SystemClock
from gateway.fhir.merge import merge
from gateway.identity import NotAuthenticated, Principal
from gateway.observe.events import Observation
from gateway.search.index import extract
from gateway.serve.api import FhirApi
from gateway.serve.audit_events import AuditEvents
from gateway.serve.auditing import Auditor
from gateway.serve.operations import who_has_seen
from gateway.serve.operations.who_has_seen import WhoHasSeenHandler
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.store.postgres.ledger import PostgresLedger
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores

ADDRESS = "https://gw.example"
BASE = f"{ADDRESS}/fhir"
SECRET = b"0123456789abcdef"
ALL = access_scopes.parse(["system/*.cruds"])
OWN, USER = access_scopes.parse(["patient/*.rs"]), access_scopes.parse(["user/*.rs"])


def actor(**more: Any) -> Actor:
    return Actor(more.pop("client", "tester"), more.pop("scopes", ALL), **more)


ACTORS = {
    "system": actor(),
    "operator": actor(client="console", kind=Kind.OPERATOR, purpose=Purpose.OPERATION, subject="op-1"),
    "reader": actor(client="reader", scopes=access_scopes.parse(["system/Observation.rs"])),
    "doctor": actor(
        client="ehr",
        scopes=USER,
        kind=Kind.STAFF,
        purpose=Purpose.TREATMENT,
        subject="u-doctor-1",
        organisation="265161000016000",
        role="7170",
        authorisation="ABC12",
        assurance=Assurance.SUBSTANTIAL,
        session="s-1",
    ),
    "tester": actor(
        client="ehr", scopes=access_scopes.parse(["user/*.rus"]), assurance=Assurance.SUBSTANTIAL, kind=Kind.STAFF, purpose=Purpose.TREATMENT, subject="u-doctor-1", organisation="265161000016000",
        role="7170", authorisation="ABC12",
    ),
    "breaker": actor(
        client="ehr", scopes=USER, patient="Patient/p1", assurance=Assurance.SUBSTANTIAL, kind=Kind.STAFF, purpose=Purpose.VAERDISPRING, subject="u-doctor-2", organisation="265161000016000",
        role="7170", authorisation="DEF34", reason="akut: 2512489996 er bevidstløs",
    ),
    "citizen-p1": actor(
        client="app", scopes=OWN, assurance=Assurance.SUBSTANTIAL, kind=Kind.CITIZEN, purpose=Purpose.OWN, subject="c-1", person="Patient/p1",
    ),
    "p2-for-p1": actor(
        client="app", scopes=OWN, assurance=Assurance.SUBSTANTIAL, kind=Kind.CITIZEN, purpose=Purpose.OWN, subject="c-2", person="Patient/p2", on_behalf_of="Patient/p1", patient="Patient/p1",
    ),
    "citizen-p2": actor(
        client="app", scopes=OWN, assurance=Assurance.SUBSTANTIAL, kind=Kind.CITIZEN, purpose=Purpose.OWN, subject="c-2", person="Patient/p2",
    ),
}  # fmt: skip


class ByName:
    """Says who asks by the token, which is an actor's name."""

    async def of_scope(self, scope: Mapping[str, Any], authorization: str | None) -> Principal:
        del scope
        if not authorization:
            raise NotAuthenticated("this address needs a bearer token", Why.NO_TOKEN)
        who = ACTORS.get(authorization.removeprefix("Bearer "))
        if who is None:
            raise NotAuthenticated("the token is not valid", Why.INVALID_TOKEN)
        return Principal(who, "test", "t", dt.datetime.max.replace(tzinfo=dt.UTC))


@dataclass(slots=True)
class Audited:
    """The API and what stands behind it."""

    store: PostgresStore
    ledger_store: PostgresLedger
    ledger: Ledger
    api: FhirApi
    told: list[Observation] = field(default_factory=list)

    def client(self, name: str = "system") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {name}"} if name else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.api), base_url=BASE + "/", headers=headers)

    async def get(self, address: str, name: str = "system", **options: Any) -> httpx.Response:
        async with self.client(name) as client:
            return await client.get(address, **options)

    async def put(self, *resources: dict[str, Any]) -> None:
        async with self.client() as client:
            for resource in resources:
                answer = await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
                assert answer.status_code in {200, 201}, answer.text

    async def written(self) -> list[tuple[Line, Record]]:
        """Return every record, oldest first."""
        blocks = await self.ledger_store.newest(low=None, high=None, upto=None, limit=10_000)
        return [(line, line.record()) for block in reversed(blocks) for line in lines(block)]

    async def last(self) -> Record:
        return (await self.written())[-1][1]


@contextlib.asynccontextmanager
async def audited(url: str, folder: Path) -> AsyncIterator[Audited]:
    schema = f"w_{secrets.token_hex(4)}"
    store = PostgresStore(url, outbox_partition=stores.partition, extract=extract, merge=merge, schema=schema)
    await store.start()
    ledger_store = PostgresLedger(url, schema=schema)
    await ledger_store.start()
    clock = SystemClock()
    ledger = Ledger(ledger_store, Key.open(folder / "key.pem"), clock)
    told: list[Observation] = []
    pages = Pages(SECRET, clock)
    view = AuditEvents(ledger_store, pages, BASE, clock)
    seen = WhoHasSeenHandler(view, PermittedStore(store), pages, names.of(store), BASE)
    api = FhirApi(
        store,
        identity=ByName(),
        address=ADDRESS,
        secret=SECRET,
        tell=told.append,
        clock=clock,
        operations=[(who_has_seen.OPERATION, seen)],
        audit=Auditor(ledger, secret=SECRET, tell=told.append),
        views={"AuditEvent": view},
    )
    try:
        yield Audited(store, ledger_store, ledger, api, told)
    finally:
        await ledger_store.stop()
        await store.stop()
        async with stores.raw(url) as connection:
            await connection.execute(f"drop schema {schema} cascade")
