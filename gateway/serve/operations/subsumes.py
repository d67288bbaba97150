"""CodeSystem/$subsumes (R4 codesystem-operation-subsumes.html): how two codes of one system stand to each other."""

from __future__ import annotations

from typing import Final

from gateway import access, errors
from gateway.access import Actor, Read
from gateway.access.scopes import Letter
from gateway.formats import json
from gateway.model import Resource
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.operations import inputs as reading
from gateway.serve.operations.inputs import Inputs
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.operations.subject import stored
from gateway.serve.permitted import PermittedStore
from gateway.terminology.failures import UnknownCode, Unsupported
from gateway.terminology.lookup import concept_of

OPERATION: Final = Operation(
    code="subsumes",
    definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-subsumes",
    levels=frozenset({Level.TYPE, Level.INSTANCE}),
    letter=Letter.READ,
    text="Whether one code of a code system subsumes another",
    types=("CodeSystem",),
    fields=(
        Field("codeA", "code", "One code"),
        Field("codeB", "code", "The other"),
        Field("system", "uri", "Their code system"),
        Field("version", "string", "Its version"),
        Field("codingA", "Coding", "One code, with its system"),
        Field("codingB", "Coding", "The other"),
    ),
)


class SubsumesHandler:
    """Answers $subsumes."""

    def __init__(self, store: PermittedStore, terminology: StoredTerminology) -> None:
        self._store = store
        self._terminology = terminology

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters that hold `outcome`."""
        access.decide(actor, Read("CodeSystem", asking.matched.id))
        given = reading.read(OPERATION, asking)
        roots: list[Resource] = []
        if asking.matched.id:
            roots = [json.loads((await stored(self._store, actor, "CodeSystem", asking.matched.id)).body)]
        system_a, version_a, code_a = _side(given, "A", roots)
        system_b, version_b, code_b = _side(given, "B", roots)
        if system_a != system_b:
            raise Unsupported("codes of two code systems cannot be compared here", at="codingB")
        library = await self._terminology.library(actor, urls=[("CodeSystem", system_a)], roots=roots)
        system = library.code_system(system_a, version_a or version_b)
        if system is None:
            raise errors.NotFound("the code system is not here, or not in that version", at="system")
        concept_of(system, code_a), concept_of(system, code_b)
        if not system.is_a:
            raise Unsupported("the hierarchy of this code system does not mean that one code subsumes another")
        return Answer(200, reading.answer({"name": "outcome", "valueCode": system.subsumes(code_a, code_b).value}))


def _side(given: Inputs, side: str, roots: list[Resource]) -> tuple[str, str, str]:
    """Return (system, version, code) of one of the two."""
    coding, code = given.part(f"coding{side}"), given.text(f"code{side}")
    if (coding is None) == (not code):
        raise errors.Incorrect(f"either code{side} or coding{side} is given", at=f"code{side}")
    fixed = roots[0].get("url", "") if roots else ""
    stated = (coding or {}).get("system") or given.text("system") or fixed
    if fixed and stated != fixed:
        raise errors.Incorrect("the code is of another code system than the address", at="system")
    if not stated:
        raise errors.Incorrect("a code needs its system", at="system")
    chosen = (coding or {}).get("code", "") if coding else code
    if not chosen:
        raise UnknownCode("a coding without a code", at=f"coding{side}")
    version = (coding or {}).get("version") or given.text("version") or (roots[0].get("version", "") if roots else "")
    return stated, version, chosen
