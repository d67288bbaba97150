"""CodeSystem/$lookup (R4 codesystem-operation-lookup.html): what a code system says about a code."""

from __future__ import annotations

from typing import Final

from gateway import access, errors
from gateway.access import Actor, Read
from gateway.access.scopes import Letter
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.operations import inputs as reading
from gateway.serve.operations.codings import codings
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.terminology.lookup import lookup

OPERATION: Final = Operation(
    code="lookup",
    definition="http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
    levels=frozenset({Level.TYPE}),
    letter=Letter.READ,
    text="What a code system says about a code: names, properties, parents and children",
    types=("CodeSystem",),
    fields=(
        Field("code", "code", "The code"),
        Field("system", "uri", "Its code system"),
        Field("version", "string", "The version of the code system"),
        Field("coding", "Coding", "Code, system and version in one"),
        Field("displayLanguage", "code", "The language of the name: `da`"),
        Field("property", "code", "Properties to show; none or `*`: all; `designation`, `lang.da`", maximum="*"),
    ),
)


class LookupHandler:
    """Answers $lookup."""

    def __init__(self, terminology: StoredTerminology) -> None:
        self._terminology = terminology

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with Parameters."""
        access.decide(actor, Read("CodeSystem", ""))
        given = reading.read(OPERATION, asking)
        [asked] = codings(given)
        library = await self._terminology.library(actor, urls=[("CodeSystem", asked.system or "")])
        system = library.code_system(asked.system or "", asked.version)
        if system is None:
            raise errors.NotFound("the code system is not here, or not in that version", at="system")
        found = lookup(system, asked.code, language=given.text("displayLanguage"), properties=given.texts("property"))
        return Answer(200, reading.answer(*found))
