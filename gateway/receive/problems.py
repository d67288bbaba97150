"""Problems that a sender can act on: RFC 9457 `application/problem+json` for everything an ingest address refuses.

`type` is `about:blank`: the status says it all, `detail` says what to do, and `reasons` has the same shape as in the
answer to a receipt. (The FHIR API answers errors with an OperationOutcome; ingest takes formats that know of none.)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import errors
from gateway.formats import json
from gateway.model import Reason, reasons_json

MEDIA_TYPE: Final = "application/problem+json"
_UNAVAILABLE_RETRY_SECONDS: Final = 5
_LINGER_SECONDS: Final = 2.0


def body(error: errors.SundbroError, reasons: Sequence[Reason] = ()) -> dict[str, object]:
    """Return the problem as a JSON object: type, title, status, detail; `at` and reasons where there are any."""
    told: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.text,
    }
    if error.at:
        told["at"] = error.at
    if reasons:
        told["reasons"] = reasons_json(reasons)
    return told


class LastAnswer(Response):
    """An answer after which the connection is closed although its sender is still sending.

    To close at once would reset the connection, and the sender would never read what was wrong (RFC 9112 §9.6). So the
    answer goes out, what still comes is thrown away for a moment, and then the connection is closed.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's own shape
        """Send, linger, end."""
        self.headers["connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b""})


def response(
    error: errors.SundbroError, reasons: Sequence[Reason] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer to a request that was not taken, with the headers that its status asks for."""
    told = dict(headers or {})
    match error:
        case errors.Unauthenticated():
            told["www-authenticate"] = "Bearer"
        case errors.Busy():
            told["retry-after"] = str(error.retry_after_seconds)
        case errors.Unavailable():
            told["retry-after"] = str(_UNAVAILABLE_RETRY_SECONDS)
        case _:
            pass
    unread = error.status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
    kind = LastAnswer if unread else Response
    return kind(json.dumps(body(error, reasons)), error.status, told, MEDIA_TYPE)
