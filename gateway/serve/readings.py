"""One entry of a batch or transaction that is no step: a GET, a search by POST, an operation. Not what becomes of it.

R4 does not say how an entry brings the form of a `POST [type]/_search`: taken are parameters in its url, a Parameters
resource, and a Binary of the form itself, as a JSON Patch comes in one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from gateway import errors
from gateway.access.scopes import Letter
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Resource
from gateway.serve.asking import pairs_of
from gateway.serve.media import FHIR_JSON
from gateway.serve.routes import FORM, Interaction, Matched

_GETS: Final = ("GET", "HEAD")
_READS: Final = (None, Letter.READ, Letter.SEARCH)
_REPRESENTATION: Final = ("_format", "_pretty")
"""What is said of the whole answer; of an entry it means nothing."""
_CONDITIONS: Final = ((b"if-none-match", "ifNoneMatch"), (b"if-modified-since", "ifModifiedSince"))


@dataclass(slots=True)
class Reading:
    """What its handler is asked: a GET, a HEAD, or a POST of an operation or a search."""

    matched: Matched
    pairs: list[tuple[str, str]]
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    head: bool = False
    at: str = ""

    @property
    def changes(self) -> bool:
        """Whether it is an operation that may change something."""
        return self.matched.route.letter not in _READS


def reading(entry: dict[str, Any], matched: Matched, pairs: list[tuple[str, str]], at: str) -> Reading:
    """Return what an entry asks, whose address was found. `at` is its path. Raises Incorrect, TooLarge."""
    request = entry["request"]
    method = request["method"]
    pairs = [pair for pair in pairs if pair[0] not in _REPRESENTATION]
    made = Reading(matched, pairs, at=at, head=method == "HEAD")
    if matched.route.interaction is Interaction.TRANSACTION:
        raise errors.Incorrect("an entry is no batch and no transaction", at=f"{at}.request.url")
    if method in _GETS:
        made.headers = {
            name: str(request[key]).encode("latin-1", "replace") for name, key in _CONDITIONS if key in request
        }
    elif "resource" in entry:
        resource = entry["resource"]
        if not isinstance(resource, dict):
            raise errors.Incorrect("a resource is a JSON object", at=f"{at}.resource")
        if FORM in matched.route.takes:
            made.pairs = pairs + _form(resource, f"{at}.resource")
        else:
            made.headers = {b"content-type": FHIR_JSON.encode()}
            made.body = json.dumps(resource)
    return made


def _form(resource: Resource, at: str) -> list[tuple[str, str]]:
    """Return the parameters of a search that stand in a resource."""
    if resource.get("resourceType") not in {"Parameters", "Binary"} or validate(resource):
        raise errors.Incorrect(f"a search by POST brings a Parameters resource, or a Binary of {FORM}", at=at)
    if resource["resourceType"] == "Parameters":
        return [(one["name"], _value(one, at)) for one in resource.get("parameter", ())]
    if resource["contentType"].partition(";")[0].strip().lower() != FORM:
        raise errors.Incorrect(f"the Binary of a search is {FORM}", at=f"{at}.contentType")
    return pairs_of(base64.b64decode(resource.get("data", "")))


def _value(parameter: dict[str, Any], at: str) -> str:
    for name, value in parameter.items():
        if name.startswith("value") and isinstance(value, str | bool | int | Decimal):
            return json.dumps(value).decode() if not isinstance(value, str) else value
    raise errors.Incorrect("a search parameter has one simple value", at=at)
