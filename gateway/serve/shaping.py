"""`_summary` and `_elements` of an answer: a part of each resource (`fhir.subset` knows which). Only who asks pays:
nothing else parses what was stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.access import Actor
from gateway.fhir import subset
from gateway.formats import json
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.operation import Handler


@dataclass(frozen=True, slots=True)
class Shape:
    """What is left of each resource: a summary (`true`, `text`, `data`, '' whole) and element names (none: all)."""

    summary: str = ""
    elements: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.summary or self.elements)

    def of(self, body: bytes) -> bytes:
        """Return a resource as this shape leaves it."""
        return json.dumps(subset.subset(json.loads(body), summary=self.summary, names=self.elements)) if self else body


WHOLE: Final = Shape()
NAMES: Final = ("_summary", "_elements")


def taken(asking: Asking, kind: str, *, but: Sequence[str] = ()) -> Shape:
    """Take the shape out of the parameters of a request about `kind` ('' any type), the names in `but` excepted.

    Raises Incorrect for a summary that R4 does not have here, and for an element that the type does not have.
    """
    names = {name for name in NAMES if name not in but}
    pairs = [pair for pair in asking.pairs if pair[0] in names]
    asking.pairs = [pair for pair in asking.pairs if pair[0] not in names]
    return of_pairs(pairs, kind, lenient=asking.lenient())


def of_pairs(pairs: Sequence[tuple[str, str]], kind: str, *, lenient: bool) -> Shape:
    """Return the shape that some pairs of NAMES mean, as `taken` does."""
    if not pairs:
        return WHOLE
    given = dict(pairs)
    summary = given.get("_summary", "")
    if summary not in {"", "false", *subset.SUMMARIES}:
        raise errors.Incorrect("_summary is true, text, data or false here", at="_summary")
    names = tuple(name.strip() for name in given.get("_elements", "").split(",") if name.strip())
    if kind and not lenient and subset.unknown(kind, names):
        raise errors.Incorrect(f"_elements names an element that {kind} does not have", at="_elements")
    return Shape("" if summary == "false" else summary, names)


async def shaped_answer(handler: Handler, actor: Actor, asking: Asking, *, but: Sequence[str] = ()) -> Answer:
    """Let an operation answer, and shape what it answers: of a Bundle each entry, else the resource itself."""
    shape = taken(asking, "", but=but)
    answer = await handler(actor, asking)
    if not shape or not answer.resource:
        return answer
    resource = json.loads(answer.resource)
    match resource["resourceType"]:
        case "OperationOutcome":
            return answer
        case "Bundle":
            for entry in resource.get("entry", ()):
                if "resource" in entry and entry["resource"]["resourceType"] != "OperationOutcome":
                    entry["resource"] = subset.subset(entry["resource"], summary=shape.summary, names=shape.elements)
        case _:
            resource = subset.subset(resource, summary=shape.summary, names=shape.elements)
    answer.resource = json.dumps(resource)
    return answer
