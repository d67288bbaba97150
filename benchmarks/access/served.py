"""One server process of the measurement: the product's own API, or the same put together without parts of it.

    on           the product
    unrecorded   the product, and nothing is written down
    off          nothing is written down, no token is looked at, and everybody is one system that sees everything: what is
                 left of access is the decision about such a one (`deciding` says how much that is)

Composition, not a setting: the product has no way to be without access or audit. `GET /fhir/waits` gives the seconds that each
record took since the last such question, from the end of the answer's making to the record's commit, and forgets them.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from gateway.access import Actor
from gateway.access.scopes import parse
from gateway.app import auditing, garbage, web
from gateway.app import parts as root
from gateway.app.oauth import NobodyLoggedIn, oauth_of
from gateway.app.one_write import OneWriteProtocol
from gateway.identity.principal import Principal
from gateway.observe import events
from gateway.serve.api import FhirApi
from gateway.settings import Settings

MODES = ("on", "unrecorded", "off")


class Everybody:
    """Whoever asks is one system that sees everything."""

    def __init__(self) -> None:
        never = dt.datetime.max.replace(tzinfo=dt.UTC)
        self._one = Principal(Actor("everybody", parse(["system/*.cruds"])), "", "", never)

    async def of_scope(self, _scope: Mapping[str, Any], _authorization: str | None) -> Principal:
        """Return it."""
        return self._one


class Measured:
    """An application that tells, on its own address, how long records took."""

    def __init__(self, api: FhirApi) -> None:
        self._api = api
        self._waits: list[float] = []

    def tell(self, observation: events.Observation) -> None:
        """Hear of a record."""
        if isinstance(observation, events.AuditWritten):
            self._waits.append(observation.seconds)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["path"] != "/fhir/waits":
            await self._api(scope, receive, send)
            return
        body, self._waits = json.dumps(self._waits).encode(), []
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def serve(mode: str, settings: Settings) -> None:
    """Serve until told to stop."""
    heard: list[events.Tell] = []

    def tell(one: events.Observation) -> None:
        for hearing in heard:
            hearing(one)

    async with (
        root.parts(settings, settings.database_url, tell) as parts,
        auditing.opened(parts) as ledger,
    ):
        api = web.fhir_api(parts, None, oauth_of(parts, NobodyLoggedIn(), ledger).acceptance, ledger)
        if mode != "on":
            api._audit = None  # noqa: SLF001
        if mode == "off":
            api._identity = Everybody()  # noqa: SLF001
        app = Measured(api)
        heard.append(app.tell)
        garbage.collect_rarely()
        given: dict[str, Any] = {
            "log_config": None,
            "access_log": False,
            "lifespan": "off",
            "ws": "none",
            "proxy_headers": False,
        }
        port = int(settings.http.rpartition(":")[2])
        await uvicorn.Server(uvicorn.Config(app, port=port, http=OneWriteProtocol, **given)).serve()


def started(mode: str, data: Path, url: str, port: int) -> list[str]:
    """Return the command that starts such a process."""
    return [sys.executable, "-m", "benchmarks.access.served", mode, str(data), url, str(port)]


if __name__ == "__main__":
    mode, data, url, port = sys.argv[1:]
    made = Settings(data=Path(data), database_url=url, http=f"127.0.0.1:{port}", mllp="", roles="serve")
    uvloop.run(serve(mode, made))
