"""What is wrong with a resource, in words that can be shown and logged: never the value itself."""

from __future__ import annotations

import re
from typing import NamedTuple

ISSUE_TYPES = {
    "resource-type": "structure",  # not a resource, or not a type of R4
    "unknown-element": "structure",  # the type has no such element
    "required": "required",  # an element with a minimum of 1 is missing
    "type": "structure",  # another JSON type: object for string, one for many, float for decimal
    "null": "structure",  # null where R4 JSON has none
    "choice": "structure",  # more than one of value[x]
    "empty": "value",  # an empty string, array or object
    "format": "value",  # not the form of its primitive type
    "code": "code-invalid",  # not from the value set that R4 requires
    "characters": "value",  # control characters, lone surrogates
}
"""Rule → FHIR issue type (R4 valueset-issue-type). A rule that is not here is an invariant of R4 by its key (`obs-6`),
which has the issue type `invariant`."""


class Issue(NamedTuple):
    """One thing that is wrong.

    `path` is FHIR's notation with the names of JSON: `Observation.component[2].valueQuantity.code`.

    `code` is a FHIR issue type, `rule` one of `ISSUE_TYPES` or the key of an invariant.
    """

    path: str
    code: str
    text: str
    rule: str


class Fault(NamedTuple):
    """An issue on its way: the place is still a tuple of names and positions, relative to some object."""

    place: tuple[str | int, ...]
    rule: str
    text: str


_SHOWN = re.compile(r"_?[A-Za-z]{1,64}|valueBase64Binary|_valueBase64Binary")


def issue(resource_type: str, fault: Fault) -> Issue:
    """Make an issue of a fault inside a resource. A name that may carry a person's number is shown as `?`."""
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step if _SHOWN.fullmatch(step) else '?'}" for step in fault.place
    )
    return Issue(resource_type + "".join(steps), ISSUE_TYPES.get(fault.rule, "invariant"), fault.text, fault.rule)
