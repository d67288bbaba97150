"""One entry of a batch or transaction → what it asks for: a step, or a reading. Not what becomes of it."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway import errors
from gateway.fhir import patch as json_patch
from gateway.fhir import path_patch
from gateway.fhir.validate import validate
from gateway.model import Resource
from gateway.serve import conditional
from gateway.serve.answer import Fault, Invalid
from gateway.serve.asking import pairs_of
from gateway.serve.patch import JSON_PATCH
from gateway.serve.readings import Reading, reading
from gateway.serve.routes import Interaction, Matched
from gateway.serve.sent import of_type, same_id
from gateway.serve.step import Method, Patch, Step

_STEPS: Final[Mapping[Interaction, Method]] = {
    Interaction.CREATE: Method.POST,
    Interaction.UPDATE: Method.PUT,
    Interaction.PATCH: Method.PATCH,
    Interaction.DELETE: Method.DELETE,
}
Find = Callable[[str, str], Matched]
"""The table of routes: the row for a method and a path. Raises NotFound, MethodNotAllowed."""
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def envelope(bundle: Resource, entries: list[Any], first: int = 0) -> None:
    """Refuse entries that are not valid R4, their resources aside. Raises Incorrect, Invalid.

    `first` is the place of the first of these entries in the request.
    """
    bare: list[dict[str, Any]] = []
    for place, entry in enumerate(entries, first):
        if not isinstance(entry, dict):
            raise errors.Incorrect("an entry is an object", at=f"Bundle.entry[{place}]")
        if not isinstance(entry.get("request"), dict):
            raise errors.Incorrect("an entry has a request", at=f"Bundle.entry[{place}].request")
        bare.append({name: value for name, value in entry.items() if name != "resource"})
    shell = {**bundle, "entry": bare} if bare else {name: value for name, value in bundle.items() if name != "entry"}
    if issues := validate(shell):
        raise Invalid([Fault(issue.code, issue.text, _moved(issue.path, first)) for issue in issues])


def _moved(path: str, first: int) -> str:
    return path.replace("Bundle.entry[0]", f"Bundle.entry[{first}]", 1) if first else path


def read(entry: dict[str, Any], at: str, *, find: Find, now: dt.datetime, base: str) -> Step | Reading:
    """Return what an entry, whose envelope is valid, asks for. `at` is its path. Raises Refused."""
    request: dict[str, Any] = entry["request"]
    method, url = request["method"], request["url"]
    if method not in _METHODS:
        raise errors.Incorrect(f"method is one of {', '.join(_METHODS)}", at=f"{at}.request.method")
    path, _, query = url.removeprefix(f"{base}/").lstrip("/").partition("?")
    if ":" in path:
        raise errors.Incorrect("the address is of another server", at=f"{at}.request.url")
    try:
        matched = find(method, f"/{path}")
        pairs = pairs_of(query.encode())
    except errors.NotAllowed as error:
        raise errors.NotAllowed(error.text, at=f"{at}.request.url") from None
    except errors.Refused as error:
        raise type(error)(error.text, at=f"{at}.request.url") from None
    interaction = matched.route.interaction
    if interaction in _STEPS:
        return _step(entry, matched, pairs, at, now=now, base=base)
    return reading(entry, matched, pairs, at)


def _step(
    entry: dict[str, Any], matched: Matched, pairs: list[tuple[str, str]], at: str, *, now: dt.datetime, base: str
) -> Step:
    request = entry["request"]
    method = _STEPS[matched.route.interaction]
    step = Step(method, matched.type, matched.id, at=f"{at}.resource", address=entry.get("fullUrl", ""))
    if not matched.id and method is not Method.POST:
        step.question = conditional.question(matched.type, pairs, now=now, base=base, at=f"{at}.request.url")
    elif pairs:
        raise errors.Incorrect("this address takes no parameter", at=f"{at}.request.url")
    if method is Method.POST:
        exists = request.get("ifNoneExist", "")
        step.question = conditional.exists(matched.type, exists, now=now, base=base, at=f"{at}.request.ifNoneExist")
    else:
        step.tags = conditional.tags(request.get("ifMatch", ""), f"{at}.request.ifMatch")
    if method is Method.PUT:
        step.fresh = conditional.fresh(request.get("ifNoneMatch", ""), f"{at}.request.ifNoneMatch")
    if method is Method.DELETE:
        return step
    if "resource" not in entry:
        raise errors.Incorrect(f"a {method} has a resource", at=f"{at}.resource")
    if method is Method.PATCH:
        step.patch = _patch(entry["resource"], f"{at}.resource")
        return step
    step.resource = of_type(entry["resource"], matched.type, f"{at}.resource.resourceType")
    if method is Method.PUT and matched.id:
        same_id(step.resource, matched.id, f"{at}.resource")
    elif method is Method.PUT:
        step.own_id = str(step.resource.get("id", ""))
    return step


def _patch(resource: Any, at: str) -> Patch:
    """Return a patch: a FHIRPath Patch, or a JSON Patch in a Binary (FHIR R4 http, patch in a batch)."""
    if not isinstance(resource, dict):
        raise errors.Incorrect("a resource is a JSON object", at=at)
    try:
        if resource.get("resourceType") != "Binary":
            return path_patch.read(resource)
        if resource.get("contentType") != JSON_PATCH or validate(resource):
            raise errors.Incorrect(f"a patch in a Binary is base64 of {JSON_PATCH}")
        return json_patch.read(base64.b64decode(resource.get("data", "")))
    except errors.Refused as error:
        raise type(error)(error.text, at=f"{at}.{error.at}".rstrip(".")) from None
