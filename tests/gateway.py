"""A real gateway for tests: `sundbro up` as a process of its own, on a temporary folder, at free ports; can be killed.

with Gateway(folder) as gateway:                  # embedded PostgreSQL and embedded backbone
    gateway.post("home", reading)
    gateway.kill()                                # SIGKILL; its translators end, its PostgreSQL stays, as in life
    gateway.start()                               # the same folder, the same addresses

Nothing is left behind: what still runs at the end is killed, also after a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from gateway import settings as setting
from gateway.app.mllp_client import MllpClient, answered
from gateway.app.parts import backbone_of
from gateway.backbone.port import Backbone
from gateway.model import Delivered
from gateway.store.embedded import running_url
from tests.life import READY_SECONDS_MAX, ROOT, Life

DRAIN_SECONDS_MAX = 120.0
COMMAND_SECONDS_MAX = 120.0
FEEDS = ("hospital", "municipal", "home")
UNPUBLISHED = "select exists (select from outbox) or exists (select from order_entry)"


class Gateway(Life):
    """One gateway. `given` are more settings by their names in lower case (`partitions=4`)."""

    def __init__(self, folder: Path, *, kafka: str = "", database_url: str = "", **given: object) -> None:
        super().__init__(folder, kafka=kafka, database_url=database_url, **given)
        self._token = ""

    # --- as senders and callers see it ---

    def token(self, *arguments: str) -> str:
        """Return a bearer token: of the actor who may do everything, or with the arguments of `sundbro token`."""
        if arguments:
            return self.command("token", *arguments).strip()
        if not self._token:
            self._token = self.command("token").strip()
        return self._token

    def client(self, token: str = "", **options: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {token or self.token()}"}
        return httpx.Client(base_url=f"http://{self.http}", headers=headers, timeout=30, **options)

    def get(self, address: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(address, **options)

    def post(
        self, feed: str, body: bytes, content_type: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        with self.client() as client:
            return client.post(
                f"/ingest/{feed}", content=body, headers={"content-type": content_type, **(headers or {})}
            )

    def outcome(self, status: str) -> dict[str, Any]:
        """Ask a receipt's status address until the message is decided."""
        until = time.monotonic() + DRAIN_SECONDS_MAX
        with self.client() as client:
            while True:
                answer = client.get(status)
                assert answer.status_code == httpx.codes.OK, answer.text
                told: dict[str, Any] = answer.json()
                if told["state"] != "waiting":
                    return told
                assert time.monotonic() < until, f"{status} still waits; the gateway said: {self.last_words()}"
                time.sleep(0.05)

    def sent(self, feed: str, body: bytes, content_type: str = "application/json") -> dict[str, Any]:
        """Post one message and return what became of it."""
        answer = self.post(feed, body, content_type)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return self.outcome(answer.json()["status"])

    def mllp_send(self, *messages: bytes) -> list[str]:
        """Send messages over one MLLP connection, each after the answer to the one before; return their MSA-1."""

        async def send() -> list[str]:
            host, _, port = self.mllp.partition(":")
            async with MllpClient(host, int(port)) as client:
                return [answered(await client.send(message))[0] for message in messages]

        return asyncio.run(send())

    def bundle(self, query: str) -> dict[str, Any]:
        answer = self.get(f"/fhir/{query}")
        assert answer.status_code == httpx.codes.OK, answer.text
        return dict(answer.json())

    def resources(self, query: str) -> list[dict[str, Any]]:
        return [entry["resource"] for entry in self.bundle(query).get("entry", [])]

    # --- as an operator sees it ---

    def run(self, *arguments: str, settings: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a `sundbro` command beside this gateway; `settings` are more, or other ones, by their names in lower case."""
        more = {f"{setting.PREFIX}{name.upper()}": value for name, value in (settings or {}).items()}
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            cwd=ROOT,
            check=False,
        )

    def command(self, *arguments: str) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(*arguments)
        assert done.returncode == 0, (
            f"sundbro {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command that prints JSON objects, one a line."""
        return [json.loads(line) for line in self.command(*arguments).splitlines()]

    def sums(self) -> dict[str, dict[str, Any]]:
        """Return `sundbro feeds --json` by feed."""
        return {one["feed"]: one for one in json.loads(self.command("feeds", "--json"))}

    def drained(self, *, published: bool = True) -> None:
        """Wait until no message waits for a translator, and (`published`) no version and no entry for the publisher."""
        asyncio.run(self._drained(published=published))

    async def _drained(self, *, published: bool) -> None:
        until = time.monotonic() + DRAIN_SECONDS_MAX
        async with self._connected() as connection, self.backbone() as backbone:
            while True:
                bounds = await backbone.bounds([f"raw.{feed}" for feed in FEEDS])
                rows = await connection.fetch("select topic, part, next_offset from position where grp = 'translate'")
                read = {(row["topic"], row["part"]): row["next_offset"] for row in rows}
                waiting = {key: end - read.get(key, 0) for key, (_, end) in bounds.items() if end > read.get(key, 0)}
                if not waiting and not (published and await connection.fetchval(UNPUBLISHED)):
                    return
                assert time.monotonic() < until, f"not drained, {waiting} wait; {self.last_words()}"
                await asyncio.sleep(0.05)

    def metrics(self) -> str:
        return httpx.get(f"http://{self.http}/metrics", timeout=30).text

    # --- underneath: the store by SQL, the backbone by its port ---

    def sql(self, statement: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        async def ask() -> Sequence[asyncpg.Record]:
            async with self._connected() as connection:
                return list(await connection.fetch(statement, *arguments))

        return asyncio.run(ask())

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """Give a connection to the store; wait for a PostgreSQL that is just being started again."""
        until = time.monotonic() + READY_SECONDS_MAX
        while not (url := self.database()):
            assert time.monotonic() < until, f"the embedded PostgreSQL does not run: {self.last_words()}"
            await asyncio.sleep(0.05)
        connection = await asyncpg.connect(url, server_settings={"search_path": self.schema})
        try:
            yield connection
        finally:
            await connection.close()

    def database(self) -> str:
        """Return the database's address, '' while an embedded one does not run."""
        return self.database_url or running_url(self.data)

    @contextlib.asynccontextmanager
    async def backbone(self) -> AsyncIterator[Backbone]:
        backbone = backbone_of(self.settings, self.database())
        await backbone.start()
        try:
            yield backbone
        finally:
            await backbone.stop()

    def records(self, topics: Iterable[str]) -> list[Delivered]:
        """Return everything on these topics, each partition's records in the order in which they stand."""

        async def read() -> list[Delivered]:
            async with self.backbone() as backbone:
                bounds = await backbone.bounds(list(topics))
                wants = {key: first for key, (first, end) in bounds.items() if first < end}
                found: list[Delivered] = []
                while wants:
                    for one in await backbone.fetch(wants, records_max=5000, bytes_max=32 << 20):
                        key = (one.position.topic, one.position.partition)
                        if one.position.offset >= wants[key]:
                            found.append(one)
                            wants[key] = one.position.offset + 1
                    wants = {key: at for key, at in wants.items() if at < bounds[key][1]}
                return found

        return asyncio.run(read())
