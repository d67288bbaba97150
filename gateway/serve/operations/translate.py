"""ConceptMap/$translate (R4 conceptmap-operation-translate.html): a code in the terms of another code system."""

from __future__ import annotations

from typing import Final

from gateway import access, errors
from gateway.access import Actor, Read
from gateway.access.scopes import Letter
from gateway.model import Resource
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.operations import inputs as reading
from gateway.serve.operations.codings import codings
from gateway.serve.operations.inputs import Inputs
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.operations.subject import subject
from gateway.serve.permitted import PermittedStore
from gateway.terminology.check import Asked
from gateway.terminology.library import Library, split
from gateway.terminology.translate import Code, Match, Sought, translate

OPERATION: Final = Operation(
    code="translate",
    definition="http://hl7.org/fhir/OperationDefinition/ConceptMap-translate",
    levels=frozenset({Level.TYPE, Level.INSTANCE}),
    letter=Letter.READ,
    text="A code in the terms of another code system, by one concept map or all",
    types=("ConceptMap",),
    fields=(
        Field("url", "uri", "The map's address; without it all maps are asked"),
        Field("conceptMap", "ConceptMap", "The map itself"),
        Field("conceptMapVersion", "string", "Its version"),
        Field("code", "code", "The code"),
        Field("system", "uri", "Its code system"),
        Field("version", "string", "The version of the code system"),
        Field("coding", "Coding", "Code, system and version in one"),
        Field("codeableConcept", "CodeableConcept", "Several codings, each is translated"),
        Field("source", "uri", "Only maps from this value set"),
        Field("target", "uri", "Only maps to this value set"),
        Field("targetsystem", "uri", "Only targets in this code system"),
        Field("reverse", "boolean", "From target to source"),
    ),
)


class TranslateHandler:
    """Answers $translate."""

    def __init__(self, store: PermittedStore, terminology: StoredTerminology) -> None:
        self._store = store
        self._terminology = terminology

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters: result, message, match."""
        access.decide(actor, Read("ConceptMap", asking.matched.id))
        given = reading.read(OPERATION, asking)
        asked = codings(given)
        sought = Sought(
            given.text("source"), given.text("target"), given.text("targetsystem"), reverse=given.flag("reverse")
        )
        library, maps = await self._maps(actor, asking, given, asked)
        matches: dict[Match, None] = {}
        for one in asked:
            code = Code(one.code, one.system or "", one.version)
            matches.update(dict.fromkeys(translate(code, maps, sought, library)))
        good = any(match.good for match in matches)
        parts: list[Resource] = [{"name": "result", "valueBoolean": good}]
        if not good:
            said = "a map says that there is none" if matches else "no map here has this code"
            parts.append({"name": "message", "valueString": f"no translation: {said}"})
        return Answer(200, reading.answer(*parts, *(_match(match) for match in matches)))

    async def _maps(
        self, actor: Actor, asking: Asking, given: Inputs, asked: list[Asked]
    ) -> tuple[Library, list[Resource]]:
        """Return the map that is meant, or all of them."""
        url, version = split(given.text("url"))
        if not (asking.matched.id or url or "conceptMap" in given.values):
            library = await self._terminology.library(actor)
            systems = [one.system or "" for one in asked]
            await self._terminology.maps(actor, library, systems, reverse=given.flag("reverse"))
            return library, library.concept_maps()
        found = await subject(self._store, actor, asking, given, "conceptMap")
        others = [("ConceptMap", one) for one in _others(found)]
        library = await self._terminology.library(actor, urls=others or [("ConceptMap", url)])
        found = found or library.concept_map(url, version or given.text("conceptMapVersion"))
        if found is None:
            raise errors.NotFound("there is no such concept map here", at="url")
        return library, [found]


def _others(concept_map: Resource | None) -> list[str]:
    groups = (concept_map or {}).get("group", ())
    return [split(url)[0] for one in groups if (url := one.get("unmapped", {}).get("url"))]


def _match(match: Match) -> Resource:
    parts: list[Resource] = [{"name": "equivalence", "valueCode": match.equivalence}]
    if match.code:
        coding = {"system": match.system, "version": match.version, "code": match.code, "display": match.display}
        parts.append({"name": "concept", "valueCoding": {name: one for name, one in coding.items() if one}})
    for product in match.products:
        element = {"name": "element", "valueUri": product["property"]}
        coding = {"system": product.get("system", ""), "code": product["value"], "display": product.get("display", "")}
        concept = {"name": "concept", "valueCoding": {name: one for name, one in coding.items() if one}}
        parts.append({"name": "product", "part": [element, concept]})
    if match.source:
        parts.append({"name": "source", "valueUri": match.source})
    return {"name": "match", "part": parts}
