"""Problems that a sender can act on: RFC 9457 `application/problem+json` for everything an ingest address refuses.

`type` is `about:blank`: the status says it all, `detail` says what to do, and `reasons` has the same shape as in the
answer to a receipt. (The FHIR API answers errors with an OperationOutcome; ingest takes formats that know of none.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from gateway import errors
from gateway.formats import json
from gateway.model import Reason, reasons_json

MEDIA_TYPE: Final = "application/problem+json"
_UNAVAILABLE_RETRY_SECONDS: Final = 5


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
        case _ if error.status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}:
            told["connection"] = "close"  # the rest of the body is not read
        case _:
            pass
    return Response(json.dumps(body(error, reasons)), error.status, told, MEDIA_TYPE)
