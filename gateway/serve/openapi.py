"""The API described as OpenAPI 3.1, from the same tables: routes, operations, search parameters of every type.

A path for each row of the table, and for each resource type the path of its search with its own parameters (each
parameter stands once, among the components, and is referred to). Not FastAPI's own description: that knows no FHIR.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.access.scopes import Letter
from gateway.search import parameters
from gateway.search.parameters import Kind, Parameter
from gateway.serve.operation import Operation
from gateway.serve.routes import FORM, Interaction, Route

OPENAPI: Final = "3.1.0"
RESOURCE_TYPES: Final = ("application/fhir+json", "application/fhir+xml")
_PLACES: Final = {
    "{type}": ("The resource type", {"$ref": "#/components/schemas/ResourceType"}),
    "{id}": ("The id of a resource", {"type": "string", "pattern": "^[A-Za-z0-9\\-.]{1,64}$"}),
    "{version}": ("The number of a version, from 1", {"type": "string", "pattern": "^[0-9]{1,9}$"}),
    "{member}": (
        "The type of the resources in the compartment, or `*` for all",
        {"anyOf": [{"$ref": "#/components/schemas/ResourceType"}, {"const": "*"}]},
    ),
}
_TEXT: Final = {"type": "string"}
_ANSWER: Final = {
    "_format": ("Representation, before Accept: json, xml, or a media type", {**_TEXT, "examples": ["json", "xml"]}),
    "_pretty": ("Line breaks and indents", {"type": "boolean"}),
    "_summary": (
        "A part of each resource; `count` of a search",
        {"type": "string", "enum": ["true", "text", "data", "count", "false"]},
    ),
    "_elements": ("Elements to return, by commas; those that must be there come too", _TEXT),
}
_HISTORY: Final = {
    "_count": ("Versions on a page", {"type": "integer", "minimum": 1}),
    "_since": ("The oldest moment shown", _TEXT),
    "_at": ("What was current at some moment of this period", _TEXT),
    "_page": ("The sealed place of a further page: of a link, nothing to be made up", _TEXT),
}
_SEARCH: Final = {
    "_count": ("Matches on a page; 0 counts alone", {"type": "integer", "minimum": 0}),
    "_sort": ("Orders, by commas, `-` for descending", _TEXT),
    "_total": ("Whether the matches are counted", {"type": "string", "enum": ["none", "estimate", "accurate"]}),
    "_include": ("Type:parameter[:Target] of what matches refer to", _TEXT),
    "_revinclude": ("Type:parameter[:Target] of what refers to matches", _TEXT),
    "_has": ("_has:Type:parameter:inner=value: something refers to it that inner finds", _TEXT),
    "_filter": ("A filter expression", _TEXT),
    "_list": ("The id of a List that holds it", _TEXT),
    "_page": _HISTORY["_page"],
}
_OF_KIND: Final = {
    Kind.TOKEN: "token: code, system|code, |code, system|",
    Kind.REFERENCE: "reference: Type/id, id, address",
    Kind.DATE: "date: eq ne gt lt ge le sa eb ap, and a date or part of one",
    Kind.STRING: "string: the beginning, without case and accents",
    Kind.NUMBER: "number: eq ne gt lt ge le sa eb ap, and a number",
    Kind.QUANTITY: "quantity: prefix, number|system|code",
    Kind.URI: "uri: an exact address",
    Kind.COMPOSITE: "composite: values of the components, joined by $",
    Kind.SPECIAL: "special: see FHIR R4",
}
_SEARCHES: Final = frozenset({Interaction.SEARCH, Interaction.SEARCH_SYSTEM, Interaction.SEARCH_COMPARTMENT})
_HISTORIES: Final = frozenset({Interaction.HISTORY, Interaction.HISTORY_TYPE, Interaction.HISTORY_SYSTEM})
_CONDITIONAL: Final = {
    "GET": ("If-None-Match", "If-Modified-Since"),
    "PUT": ("If-Match", "If-None-Match", "Prefer"),
    "PATCH": ("If-Match", "Prefer"),
    "DELETE": ("If-Match",),
    "POST": ("If-None-Exist", "Prefer"),
}


def described(
    root: str, rows: Sequence[Route], operations: Sequence[Operation], *, version: str, address: str = ""
) -> dict[str, Any]:
    """Return the OpenAPI document of `rows`; `root` is where they stand (`/fhir`), `address` the server's."""
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        path = root + (row.pattern if row.pattern != "/" else "")
        paths.setdefault(path, {})[row.method.lower()] = _operation(row, operations)
    search = next(row for row in rows if row.method == "GET" and row.pattern == "/{type}")
    for name in sorted(parameters.types()):
        paths[f"{root}/{name}"] = {"get": _search_of(search, name)}
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Sundbro, a FHIR R4 API",
            "version": version,
            "description": "FHIR R4 (4.0.1) in JSON and XML. `GET /fhir/metadata` says the same as a CapabilityStatement.",
        },
        **({"servers": [{"url": address}]} if address else {}),
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": _shared(),
            "responses": _responses(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "SMART v2 system scopes"}
            },
        },
    }


def _operation(row: Route, operations: Sequence[Operation]) -> dict[str, Any]:
    places = re.findall(r"\{\w+\}", row.pattern)
    made: dict[str, Any] = {
        "operationId": _operation_id(row),
        "summary": row.text,
        "tags": ["operations" if row.code else "FHIR"],
        "parameters": [_place(place, row) for place in places] + _asked(row, operations),
        "security": [{"bearer": [f"system/*.{_letters(row)}"]}] if row.letter else [],
        "responses": _answers(row),
    }
    if row.takes:
        schema = {"type": "object", "additionalProperties": {"type": "string"}} if FORM in row.takes else _RESOURCE
        made["requestBody"] = {
            "required": FORM not in row.takes and not row.code,
            "content": {kind: {"schema": schema} for kind in row.takes},
        }
    return made


_RESOURCE: Final = {"$ref": "#/components/schemas/Resource"}


def _letters(row: Route) -> str:
    """Return the letters of scope that a row needs: a patch may tell what was there, so it needs `r` as well."""
    assert row.letter is not None
    return f"{Letter.READ}{row.letter}" if row.interaction is Interaction.PATCH else row.letter.value


def _operation_id(row: Route) -> str:
    words = [row.interaction.value, *(part.strip("{}$_*") for part in row.segments)]
    return "-".join([row.method.lower(), *(word for word in words if word)])


def _place(place: str, row: Route) -> dict[str, Any]:
    text, schema = _PLACES[place]
    if place == "{type}" and row.types:
        schema = {"type": "string", "enum": [*row.types]}
    return {"name": place.strip("{}"), "in": "path", "required": True, "description": text, "schema": schema}


def _asked(row: Route, operations: Sequence[Operation]) -> list[dict[str, Any]]:
    """Return the query parameters and headers of a row."""
    names: Iterable[str] = ("_format", "_pretty")
    extra: list[dict[str, Any]] = []
    match row.interaction:
        case Interaction.READ | Interaction.VREAD:
            names = _ANSWER
        case Interaction.CAPABILITIES:
            mode = {"type": "string", "enum": ["full", "normative", "terminology"]}
            extra = [{"name": "mode", "in": "query", "schema": mode}]
        case interaction if interaction in _HISTORIES:
            names = [*_ANSWER, *(f"history{name}" for name in _HISTORY)]
        case interaction if interaction in _SEARCHES:
            names = [*_ANSWER, *_SEARCH]
            if not row.pattern.startswith("/{type}") or "{member}" in row.pattern:
                extra = [{"name": "_type", "in": "query", "description": "Types, by commas", "schema": _TEXT}]
        case Interaction.OPERATION:
            extra = _fields(row, operations) if row.method == "GET" else []
        case _:
            pass
    headers = [
        {"name": name, "in": "header", "schema": _TEXT}
        for name in _CONDITIONAL.get(row.method, ())
        if row.letter and (row.method != "GET" or row.interaction in {Interaction.READ, Interaction.VREAD})
        if row.method != "POST" or (not row.code and FORM not in row.takes)
    ]
    return [{"$ref": f"#/components/parameters/{name}"} for name in names] + extra + headers


def _fields(row: Route, operations: Sequence[Operation]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "in": "query",
            "description": one.text,
            "required": one.minimum > 0,
            "schema": {"type": "array", "items": _TEXT} if one.maximum != "1" else _TEXT,
        }
        for operation in operations
        if (operation.code, operation.types) == (row.code, row.types) or (operation.code == row.code and not row.types)
        for one in operation.fields
        if one.type[:1].islower()  # a complex value cannot stand in an address
    ]


def _search_of(search: Route, name: str) -> dict[str, Any]:
    """Return the search of one type: the row's own parameters, and those of the type."""
    return {
        "operationId": f"search-{name}",
        "summary": f"Search {name}",
        "tags": [name],
        "parameters": [
            *_asked(search, ()),
            *({"$ref": f"#/components/parameters/{_key(one)}"} for one in parameters.of(name).all() if one.supported),
        ],
        "security": [{"bearer": [f"system/{name}.s"]}],
        "responses": _answers(search),
    }


def _key(one: Parameter) -> str:
    return f"{one.name}.{one.kind.value}"


def _shared() -> dict[str, Any]:
    made = {
        name: {"name": name, "in": "query", "description": text, "schema": schema}
        for name, (text, schema) in (*_ANSWER.items(), *_SEARCH.items())
    }
    for name, (text, schema) in _HISTORY.items():
        made[f"history{name}"] = {"name": name, "in": "query", "description": text, "schema": schema}
    for kind in parameters.types():
        for one in parameters.of(kind).all():
            if one.supported:
                made[_key(one)] = {
                    "name": one.name,
                    "in": "query",
                    "description": f"{_OF_KIND[one.kind]}; several by commas",
                    "schema": {"type": "array", "items": _TEXT},
                }
    return dict(sorted(made.items()))


def _schemas() -> dict[str, Any]:
    resource = {
        "type": "object",
        "description": "A FHIR R4 resource; its StructureDefinition says what it holds",
        "required": ["resourceType"],
        "properties": {"resourceType": {"$ref": "#/components/schemas/ResourceType"}, "id": _TEXT},
    }
    return {
        "ResourceType": {"type": "string", "enum": sorted(parameters.types())},
        "Resource": resource,
        "OperationOutcome": {
            "type": "object",
            "required": ["resourceType", "issue"],
            "properties": {
                "resourceType": {"const": "OperationOutcome"},
                "issue": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "required": ["severity", "code"]},
                },
            },
        },
    }


def _responses() -> dict[str, Any]:
    def answer(text: str, schema: str) -> dict[str, Any]:
        content = {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}} for kind in RESOURCE_TYPES}
        return {"description": text, "content": content}

    return {
        "resource": answer("A FHIR resource", "Resource"),
        "refused": answer("An OperationOutcome says what the request did wrong", "OperationOutcome"),
        "failed": answer("An OperationOutcome: nothing was done, come back later", "OperationOutcome"),
        "nothing": {"description": "No body"},
    }


def _answers(row: Route) -> dict[str, Any]:
    def refer(name: str) -> dict[str, str]:
        return {"$ref": f"#/components/responses/{name}"}

    made = {"200": refer("resource"), "4XX": refer("refused"), "5XX": refer("failed")}
    if row.method in {"POST", "PUT", "PATCH"} and row.takes and FORM not in row.takes and not row.code:
        made["201"] = refer("resource")
    if row.method in {"DELETE", "OPTIONS"} or row.code:
        made["204"] = refer("nothing")
    if row.interaction in {Interaction.READ, Interaction.VREAD}:
        made["304"] = refer("nothing")
    return dict(sorted(made.items()))
