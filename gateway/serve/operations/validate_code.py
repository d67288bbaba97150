"""$validate-code of ValueSet and CodeSystem (R4 valueset-operation-validate-code.html and its sibling)."""

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
from gateway.terminology import check
from gateway.terminology.check import Verdict
from gateway.terminology.library import split

_ABOUT_CODE: Final = (
    Field("code", "code", "The code"),
    Field("display", "string", "What the caller calls it; another name than the code's is told"),
    Field("coding", "Coding", "Code, system, version and display in one"),
    Field("codeableConcept", "CodeableConcept", "Several codings, of which one has to be right"),
    Field("abstract", "boolean", "A code that groups others will do"),
    Field("displayLanguage", "code", "The language of the name told back"),
)
IN_VALUE_SET: Final = Operation(
    code="validate-code",
    definition="http://hl7.org/fhir/OperationDefinition/ValueSet-validate-code",
    levels=frozenset({Level.TYPE, Level.INSTANCE}),
    letter=Letter.READ,
    text="Whether a code is in a value set",
    types=("ValueSet",),
    fields=(
        Field("url", "uri", "The value set's address, `url|version`"),
        Field("valueSet", "ValueSet", "The value set itself"),
        Field("valueSetVersion", "string", "Its version"),
        Field("system", "uri", "The code's system; without it any system of the value set"),
        Field("systemVersion", "string", "The version of the code's system"),
        *_ABOUT_CODE,
    ),
)
IN_CODE_SYSTEM: Final = Operation(
    code="validate-code",
    definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code",
    levels=frozenset({Level.TYPE, Level.INSTANCE}),
    letter=Letter.READ,
    text="Whether a code is in a code system",
    types=("CodeSystem",),
    fields=(
        Field("url", "uri", "The code system's address"),
        Field("codeSystem", "CodeSystem", "The code system itself"),
        Field("version", "string", "Its version"),
        *_ABOUT_CODE,
    ),
)


class ValueSetHandler:
    """Answers ValueSet/$validate-code."""

    def __init__(self, store: PermittedStore, terminology: StoredTerminology) -> None:
        self._store = store
        self._terminology = terminology

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters: result, message, display."""
        access.decide(actor, Read("ValueSet", asking.matched.id))
        given = reading.read(IN_VALUE_SET, asking)
        url, version = split(given.text("url"))
        value_set = await subject(self._store, actor, asking, given, "valueSet")
        roots = [value_set] if value_set else []
        library = await self._terminology.library(actor, urls=[] if roots else [("ValueSet", url)], roots=roots)
        value_set = value_set or library.value_set(url, version or given.text("valueSetVersion"))
        if value_set is None:
            raise errors.NotFound("there is no such value set here", at="url")
        asked = codings(given, version="systemVersion", needs_system=False)
        language, abstract = given.text("displayLanguage"), given.flag("abstract")
        return _told(check.several(asked, value_set, library, language=language, abstract=abstract))


class CodeSystemHandler:
    """Answers CodeSystem/$validate-code."""

    def __init__(self, store: PermittedStore, terminology: StoredTerminology) -> None:
        self._store = store
        self._terminology = terminology

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters: result, message, display."""
        access.decide(actor, Read("CodeSystem", asking.matched.id))
        given = reading.read(IN_CODE_SYSTEM, asking)
        code_system = await self._system(actor, asking, given)
        url = code_system.get("url", "") if code_system else split(given.text("url"))[0]
        roots = [code_system] if code_system else []
        urls = [] if roots else [("CodeSystem", one) for one in {url, *_systems(given)} if one]
        library = await self._terminology.library(actor, urls=urls, roots=roots)
        return _told(check.several(codings(given, system=url), None, library, language=given.text("displayLanguage")))

    async def _system(self, actor: Actor, asking: Asking, given: Inputs) -> Resource | None:
        """Return the code system asked about; None when `url`, or a coding's own system, names it."""
        alone = not asking.matched.id and "codeSystem" not in given.values and "url" not in given.values
        if alone and ("coding" in given.values or "codeableConcept" in given.values):
            return None
        found = await subject(self._store, actor, asking, given, "codeSystem")
        if found is not None and not found.get("url"):
            raise errors.Incorrect("a code system needs its url here", at="codeSystem")
        return found


def _systems(given: Inputs) -> list[str]:
    coding, concept = given.part("coding") or {}, given.part("codeableConcept") or {}
    return [one["system"] for one in (coding, *concept.get("coding", ())) if one.get("system")]


def _told(verdict: Verdict) -> Answer:
    parts: list[Resource] = [{"name": "result", "valueBoolean": verdict.result}]
    if verdict.message:
        parts.append({"name": "message", "valueString": verdict.message})
    if verdict.display:
        parts.append({"name": "display", "valueString": verdict.display})
    return Answer(200, reading.answer(*parts))
