"""A real FHIR API for tests: embedded PostgreSQL, the store, uvicorn on a free port, tokens of the local issuer."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from gateway.app.one_write import OneWriteProtocol
from gateway.fhir import body as bodies
from gateway.identity import LocalIssuer
from gateway.model import Mode, Resource
from gateway.observe.events import Observation
from gateway.search.index import extract
from gateway.serve import FhirApi, framework
from gateway.settings import Settings
from gateway.store.port import Batch, Write
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores


class FhirServer:
    """The API on `address`, everything on one event loop of its own thread. `told` is what it announced."""

    def __init__(self, data: Path, url: str, **more: Any) -> None:
        self.told: list[Observation] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        # named as TCP: asyncio turns Nagle's algorithm off only where the socket says so (40 ms an answer otherwise)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.base = f"{self.address}/fhir"
        self.issuer = LocalIssuer.open(Settings(data=data, public_url=self.address))
        self.store = PostgresStore(
            url, outbox_partition=stores.partition, extract=extract, merge=stores.merge, schema="fhir"
        )
        self.api = FhirApi(
            self.store,
            identity=self.issuer.verifier(),
            address=self.address,
            secret=b"0123456789abcdef",
            tell=self.told.append,
            **more,
        )
        self.run(self.store.start())
        config = uvicorn.Config(
            framework.application([], self.api),
            http=OneWriteProtocol,
            proxy_headers=False,
            log_level="error",
            access_log=False,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.run_coroutine_threadsafe(self._server.serve([self._socket]), self._loop)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def stop(self) -> None:
        self._server.should_exit = True
        self._serving.result(10)
        self.run(self.store.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._socket.close()

    def put(self, *resources: Resource, minute: int = 0, deleted: bool = False) -> None:
        writes = []
        for resource in resources:
            body = bodies.prepare(resource)
            writes.append(
                Write(
                    type=resource["resourceType"],
                    id=resource["id"],
                    mode=Mode.PUT,
                    body=b"" if deleted else body,
                    digest=bodies.content_digest(body),
                    event_time=stores.NOON + dt.timedelta(minutes=minute),
                    index=extract(resource),
                    deleted=deleted,
                )
            )
        self.run(self.store.apply(Batch([stores.message(*writes)])))

    def client(self, *scopes: str, name: str = "tester", token: str | None = None) -> httpx.Client:
        bearer = token or self.issuer.issue(name, scopes or ("system/*.rs",))
        return httpx.Client(base_url=self.base, headers={"authorization": f"Bearer {bearer}"})


@contextlib.contextmanager
def serving(data: Path, **more: Any) -> Iterator[FhirServer]:
    """Serve with what `more` the API is to be given."""
    with stores.running_database(data / "database") as database:
        server = FhirServer(data / "gateway", database.url, **more)
        try:
            yield server
        finally:
            server.stop()
