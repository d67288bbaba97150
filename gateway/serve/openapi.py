"""The same table of routes inside FastAPI: for its OpenAPI page, and for whoever mounts routers instead of ASGI.

`fast_path` goes before any framework: what is below /fhir is answered lean, all else by the other application. Both
ways end in the one `FhirApi`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.routing import Route as PlainRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.serve.answer import FHIR_JSON
from gateway.serve.api import ROOT, FhirApi
from gateway.serve.routes import TABLE, Route

_WORDS: Final = {
    "type": "A FHIR R4 resource type",
    "id": "The id of a resource",
    "version": "The number of a version, from 1",
}


class _Delegated(Response):
    """A response that the API writes itself."""

    def __init__(self, api: FhirApi) -> None:
        super().__init__()
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the API answer."""
        await self._api(scope, receive, send)


def fhir_routes(api: FhirApi) -> APIRouter:
    """Return a router with every row of the table, documented, and all else below /fhir; `api` answers each."""

    async def endpoint(_: Request) -> Response:
        return _Delegated(api)

    router = APIRouter()
    for route in TABLE:
        router.add_api_route(
            ROOT + route.pattern,
            endpoint,
            methods=[route.method],
            summary=route.text,
            operation_id=_operation_id(route),
            tags=["FHIR"],
            response_class=Response,
            responses=_responses(),
            openapi_extra=_described(route),
        )
    for address in (ROOT, ROOT + "/{rest:path}"):
        router.routes.append(PlainRoute(address, endpoint, methods=None, include_in_schema=False))
    return router


def fast_path(api: FhirApi, otherwise: ASGIApp) -> ASGIApp:
    """Return the application that gives /fhir to the API at once, and all else (lifespan included) to `otherwise`."""
    below = ROOT + "/"

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"].startswith(below) or scope["path"] == ROOT):
            await api(scope, receive, send)
        else:
            await otherwise(scope, receive, send)

    return application


def _operation_id(route: Route) -> str:
    """Return a name of its own for each row: where a search says which, `-conditional`."""
    conditional = route.method in {"PUT", "PATCH", "DELETE"} and "{id}" not in route.pattern
    return f"{route.method.lower()}-{route.interaction.value}" + ("-conditional" if conditional else "")


def _responses() -> dict[int | str, dict[str, Any]]:
    return {
        200: {"content": {FHIR_JSON: {}}, "description": "A FHIR resource"},
        "4XX": {"content": {FHIR_JSON: {}}, "description": "An OperationOutcome"},
        "5XX": {"content": {FHIR_JSON: {}}, "description": "An OperationOutcome"},
    }


def _described(route: Route) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", route.pattern)
    parameters = [
        {"name": name, "in": "path", "required": True, "description": _WORDS[name], "schema": {"type": "string"}}
        for name in names
    ]
    security = [{"bearer": [f"system/*.{route.letter.value}"]}] if route.letter else []
    return {"parameters": parameters, "security": security}
