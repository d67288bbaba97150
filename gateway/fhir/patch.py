"""JSON Patch (RFC 6902) on a resource, as FHIR R4 http#patch has it. What comes out is not validated here.

The library `jsonpatch` does the operations, one at a time, so that a refusal names the one at fault, and so that a copy
of a copy of a copy cannot grow beyond what a body may have. FHIRPath Patch is `path_patch.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import jsonpatch
from jsonpointer import JsonPointerException, resolve_pointer

from gateway.errors import Incorrect, TooLarge, Unprocessable
from gateway.formats import json
from gateway.model import Resource

OPERATIONS_MAX: Final = 500
COPIED_BYTES_MAX: Final = 1 << 20
"""What the copies of a patch may add: each could double the one before."""
_NEEDS: Final = {
    "add": ("value",),
    "replace": ("value",),
    "test": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "remove": (),
}


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """The operations of a patch, checked for their form."""

    operations: tuple[dict[str, Any], ...]

    def apply(self, resource: Resource) -> Resource:
        """Return the patched resource; `resource` is not changed.

        Raises Unprocessable, naming the operation, when a path does not exist or a test does not hold.
        """
        patched: Any = copy.deepcopy(resource)
        copied = 0
        for place, operation in enumerate(self.operations):
            try:
                if operation["op"] == "copy":
                    copied += len(json.dumps(resolve_pointer(patched, operation["from"])))
                if copied <= COPIED_BYTES_MAX:
                    patched = jsonpatch.JsonPatch([operation]).apply(patched, in_place=True)
            except jsonpatch.JsonPatchTestFailed:
                raise Unprocessable("the test does not hold", at=f"[{place}]") from None
            except (jsonpatch.JsonPatchException, JsonPointerException, TypeError, ValueError, KeyError, IndexError):
                raise Unprocessable(
                    "the operation cannot be done: its path, or what it comes from, is not there", at=f"[{place}]"
                ) from None
            if copied > COPIED_BYTES_MAX:
                raise TooLarge(f"the copies of a patch have at most {COPIED_BYTES_MAX} bytes", at=f"[{place}]")
        if not isinstance(patched, dict):
            raise Unprocessable("what is left is not a resource")
        return patched


def read(body: bytes) -> JsonPatch:
    """Return the patch of an application/json-patch+json body. Raises Incorrect when it is none, TooLarge for too many."""
    operations = json.loads(body)
    if not isinstance(operations, list):
        raise Incorrect("a JSON Patch is an array of operations")
    if len(operations) > OPERATIONS_MAX:
        raise TooLarge(f"a patch has at most {OPERATIONS_MAX} operations")
    for place, operation in enumerate(operations):
        _check(operation, f"[{place}]")
    return JsonPatch(tuple(operations))


def _check(operation: Any, at: str) -> None:
    if not isinstance(operation, dict):
        raise Incorrect("an operation is an object", at=at)
    name = operation.get("op")
    if not isinstance(name, str) or name not in _NEEDS:
        raise Incorrect(f"op is one of {', '.join(_NEEDS)}", at=f"{at}.op")
    if not isinstance(operation.get("path"), str):
        raise Incorrect("an operation has a path", at=f"{at}.path")
    for needed in _NEEDS[name]:
        if needed not in operation or (needed == "from" and not isinstance(operation[needed], str)):
            raise Incorrect(f"{name} has a {needed}", at=f"{at}.{needed}")
