"""What the handlers of changes take out of a request, and what they refuse before anything is looked up."""

from __future__ import annotations

import datetime as dt
from typing import Any

from gateway import errors
from gateway.model import Resource
from gateway.serve import binary, conditional
from gateway.serve.asking import Asking
from gateway.serve.step import Method, Step


def nothing_more(asking: Asking) -> None:
    """Refuse parameters where there are none. Raises Incorrect."""
    asking.no_more("this address takes _format and _pretty, and no other parameter")


def aimed(asking: Asking, method: Method, *, now: dt.datetime, base: str) -> Step:
    """Return the step of a change of what is there: of the id in its address, or of the one that its criteria find;
    at the versions that If-Match names. Raises Incorrect.
    """
    matched = asking.matched
    step = Step(method, matched.type, matched.id)
    if matched.id:
        nothing_more(asking)
    else:
        step.question = conditional.question(matched.type, asking.pairs, now=now, base=base)
    step.tags = conditional.tags(asking.condition(b"if-match"))
    return step


def resource_of(asking: Asking) -> Resource:
    """Return the resource of a request, of the type that its address names; of a Binary's own bytes the Binary that
    holds them. Raises Incorrect, UnsupportedMedia.
    """
    if binary.sent(asking):
        return binary.made(asking)
    return of_type(asking.resource(), asking.matched.type, "resourceType")


def of_type(resource: Any, resource_type: str, at: str) -> Resource:
    """Return a resource if it is of this type. Raises Incorrect."""
    if not isinstance(resource, dict):
        raise errors.Incorrect("a resource is a JSON object", at=at.removesuffix(".resourceType"))
    if resource.get("resourceType") != resource_type:
        raise errors.Incorrect(f"the address is of {resource_type}, the resource is of another type, or none", at=at)
    return resource


def same_id(resource: Resource, wanted: str, at: str) -> None:
    """Refuse a resource without the id of its address. Raises Incorrect."""
    if resource.get("id") != wanted:
        raise errors.Incorrect("the resource has no id, or another one than its address", at=f"{at}.id")
