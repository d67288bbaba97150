"""The API inside FastAPI: the described application that a process serves, and the short way past it for /fhir.

`/openapi.json` is made from the API's own tables (`openapi`), `/docs` is a plain page of it. What is below /fhir goes to
the API at once (`fast_path`); all else, unknown addresses and wrong methods too, is answered in JSON.
"""

from __future__ import annotations

import functools
import html
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.formats import json
from gateway.serve import openapi
from gateway.serve.api import ROOT, FhirApi, version

PROBLEM: Final = "application/problem+json"


def application(routes: Sequence[BaseRoute], api: FhirApi | None) -> ASGIApp:
    """Return the application of a process: `routes` at the root, and the FHIR API below /fhir when there is one."""
    app = FastAPI(title="Sundbro", version=version(), openapi_url=None, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    app.router.routes[:] = routes
    app.add_exception_handler(HTTPException, _problem)
    if api is None:
        return app
    document = functools.cache(lambda: _document(api))
    app.openapi = document  # type: ignore[method-assign]

    async def described(_: Request) -> Response:
        return Response(json.dumps(document()), media_type="application/json")

    async def page(_: Request) -> Response:
        return HTMLResponse(_page(document()), headers={"content-security-policy": "default-src 'none'"})

    app.add_route("/openapi.json", described, include_in_schema=False)
    app.add_route("/docs", page, include_in_schema=False)
    return fast_path(api, app)


def fast_path(api: FhirApi, otherwise: ASGIApp) -> ASGIApp:
    """Return the application that gives /fhir to the API at once, and all else (lifespan included) to `otherwise`.

    What is below /fhir/.well-known is no resource: SMART's configuration, a route of the authorization server.
    """
    below, known = ROOT + "/", ROOT + "/.well-known/"

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if (path.startswith(below) and not path.startswith(known)) or path == ROOT:
            await api(scope, receive, send)
        else:
            await otherwise(scope, receive, send)

    return both


async def _problem(_: Request, error: Exception) -> Response:
    """Answer an unknown address, or a method that an address does not take (RFC 9457)."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    told = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": f"the FHIR API is at {ROOT}, described by {ROOT}/metadata and /openapi.json",
    }
    return Response(json.dumps(told), status, dict(error.headers or {}), PROBLEM)


def _document(api: FhirApi) -> dict[str, Any]:
    address = api.base.removesuffix(ROOT)
    return openapi.described(ROOT, api.routes.rows, api.operations, version=version(), address=address)


def _page(document: dict[str, Any]) -> str:
    """Return the routes as a page for people: no script, nothing fetched."""
    lines = [
        f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code></td><td>{html.escape(one['summary'])}</td></tr>"
        for path, item in document["paths"].items()
        for method, one in item.items()
        if one["tags"][0] in {"FHIR", "operations"}
    ]
    return (
        f'<!doctype html><html lang="en"><title>{html.escape(document["info"]["title"])}</title>'
        f"<h1>{html.escape(document['info']['title'])}</h1><p>{html.escape(document['info']['description'])}</p>"
        '<p><a href="/openapi.json">/openapi.json</a> has every parameter of every type, '
        f'<a href="{ROOT}/metadata">{ROOT}/metadata</a> the same in FHIR.</p><table>{"".join(lines)}</table></html>'
    )
