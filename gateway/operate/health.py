"""`/livez`, `/readyz`, `/metrics`: what an orchestrator, an operator and Prometheus ask.

`/livez` has no dependencies: it says that the event loop turns. `/readyz` says whether a message would be taken and a
question answered now: database, backbone, feeds. Both are open to everybody and tell nothing about anybody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import SundbroError

CACHE_SECONDS = 1.0
CHECK_SECONDS = 3.0
Check = Callable[[], Awaitable[None]]


class Health:
    """The health pages of one process. `checks` are named; each returns, or raises what is wrong."""

    def __init__(self, checks: Mapping[str, Check], exposition: Callable[[], bytes]) -> None:
        self._checks = checks
        self._exposition = exposition
        self._known: tuple[float, dict[str, str]] | None = None
        self.draining = False
        """Set when this process is about to stop: not ready any more, still answering."""

    def routes(self) -> list[Route]:
        """Return the routes to mount at the root."""
        return [
            Route("/livez", self.livez, name="livez"),
            Route("/readyz", self.readyz, name="readyz"),
            Route("/metrics", self.metrics, name="metrics"),
        ]

    async def livez(self, _: Request) -> Response:
        """Answer 200: the loop turns, or this would not be answered."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        """Answer 200 with every check `ok`, or 503 with what is not."""
        state = dict(await self._states())
        if self.draining:
            state["process"] = "stopping"
        well = all(value == "ok" for value in state.values())
        return JSONResponse({"status": "ready" if well else "not ready", "checks": state}, 200 if well else 503)

    async def metrics(self, _: Request) -> Response:
        """Answer the Prometheus text of all processes of this gateway."""
        return Response(
            await asyncio.to_thread(self._exposition), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    async def _states(self) -> dict[str, str]:
        if self._known and time.monotonic() - self._known[0] < CACHE_SECONDS:
            return self._known[1]
        found = await asyncio.gather(*(self._state(check) for check in self._checks.values()))
        self._known = (time.monotonic(), dict(zip(self._checks, found, strict=True)))
        return self._known[1]

    @staticmethod
    async def _state(check: Check) -> str:
        try:
            await asyncio.wait_for(check(), CHECK_SECONDS)
        except SundbroError as error:
            return error.text
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:.0f} s"
        return "ok"
