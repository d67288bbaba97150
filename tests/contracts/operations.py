"""The operations of the API on a real store: what a test puts in, asks, and gets back, without HTTP around it."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from gateway.access import Actor, Kind
from gateway.access.scopes import parse
from gateway.clock import SystemClock
from gateway.fhir import body as bodies
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Resource
from gateway.search.index import extract
from gateway.serve.answer import refusal
from gateway.serve.asking import Asking
from gateway.serve.operation import Operation
from gateway.serve.operations import operations
from gateway.serve.paging import Pages
from gateway.serve.routes import Interaction, Matched, Route
from gateway.store.port import Edit, Edited
from gateway.store.postgres.store import PostgresStore
from gateway.terminology import tables
from gateway.terminology.shelf import Shelf
from tests.contracts import stores

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
SHELF = Shelf(MAPPINGS, tables.load(MAPPINGS))
BASE = "https://gateway.example/fhir"
ROUTE = Route("GET", "/", Interaction.READ, None, "")


class Desk:
    """Operations over one store. `ask` answers as the API would, refusals included; every answer is valid R4."""

    def __init__(self, store: PostgresStore, **more: Any) -> None:
        self.store = store
        clock = SystemClock()
        rows = operations(store, shelf=SHELF, pages=Pages(b"0123456789abcdef", clock), base=BASE, clock=clock, **more)
        self._rows: list[tuple[Operation, Any]] = rows

    async def put(self, *resources: Resource) -> list[Edited]:
        edits = []
        for one in resources:
            body = bodies.prepare(one)
            edits.append(Edit(one["resourceType"], one["id"], body, bodies.content_digest(body), index=extract(one)))
        return await self.store.write(edits)

    async def ask(
        self,
        address: str,
        *pairs: tuple[str, str],
        body: Resource | None = None,
        scopes: Sequence[str] = ("system/*.cruds",),
        prefer: str = "",
    ) -> tuple[int, Any]:
        *place, code = address.strip("/").split("/")
        kind = place[0] if place else ""
        handler = next(
            handler
            for row, handler in self._rows
            if row.code == code.removeprefix("$") and (not row.types or kind in row.types or not kind)
        )
        asking = Asking(
            Matched(ROUTE, kind, place[1] if len(place) > 1 else ""),
            {b"content-type": b"application/fhir+json", b"prefer": prefer.encode()},
            list(pairs),
        )
        asking.body = json.dumps(body) if body is not None else b""
        try:
            answer = await handler(Actor("tester", parse(scopes), Kind.SYSTEM), asking)
        except Exception as error:
            answer = refusal(error)
            if answer.status >= 500:
                raise
        resource = json.loads(answer.resource)
        assert [str(issue) for issue in validate(resource)] == [], address
        return answer.status, resource


def parameters(**values: Any) -> Resource:
    """Parameters of `name__valueX=value`; a resource stands for itself."""
    parts = []
    for key, value in values.items():
        name, _, kind = key.partition("__")
        parts.append({"name": name.replace("_", "-"), kind or "resource": value})
    return {"resourceType": "Parameters", "parameter": parts}


def value(resource: Resource, name: str) -> Any:
    """The value of an output parameter, None when it is not there."""
    for one in resource.get("parameter", ()):
        if one["name"] == name:
            return next((found for kind, found in one.items() if kind.startswith("value")), None)
    return None


def parts(resource: Resource, name: str) -> list[dict[str, Any]]:
    """The parts of every output parameter of this name."""
    return [
        {
            part["name"]: next((v for k, v in part.items() if k.startswith("value")), None)
            for part in one.get("part", ())
        }
        for one in resource.get("parameter", ())
        if one["name"] == name
    ]


def codes(expanded: Resource) -> list[str]:
    return [one["code"] for one in expanded["expansion"].get("contains", ())]


def ids(bundle: Resource, mode: str = "") -> list[str]:
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in bundle.get("entry", ())
        if not mode or entry["search"]["mode"] == mode
    ]


@contextlib.asynccontextmanager
async def desk(url: str, **more: Any) -> AsyncIterator[Desk]:
    store = PostgresStore(
        url,
        outbox_partition=stores.partition,
        extract=extract,
        merge=stores.merge,
        schema=f"o_{secrets.token_hex(4)}",
    )
    await store.start()
    try:
        yield Desk(store, **more)
    finally:
        await store.stop()


def days(number: int) -> str:
    return (dt.date(2024, 1, 1) + dt.timedelta(days=number)).isoformat()
