"""ValueSet/$expand (R4 valueset-operation-expand.html): a value set of the gateway, of the store, or sent along."""

from __future__ import annotations

import uuid
from typing import Final

from gateway import access, errors
from gateway.access import Actor, Read
from gateway.access.scopes import Letter
from gateway.clock import Clock
from gateway.formats import json
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.operation import Field, Level, Operation
from gateway.serve.operations import inputs as reading
from gateway.serve.operations.inputs import Inputs
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.operations.subject import subject
from gateway.serve.permitted import PermittedStore
from gateway.terminology.compose import Versions
from gateway.terminology.expand import Wanted, expand
from gateway.terminology.library import split

OPERATION: Final = Operation(
    code="expand",
    definition="http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
    levels=frozenset({Level.TYPE, Level.INSTANCE}),
    letter=Letter.READ,
    text="The codes of a value set, as a flat list",
    types=("ValueSet",),
    fields=(
        Field("url", "uri", "The value set's address, `url|version`"),
        Field("valueSet", "ValueSet", "The value set itself"),
        Field("valueSetVersion", "string", "Its version"),
        Field("filter", "string", "Words that a code or one of its names begins with"),
        Field("offset", "integer", "How many codes to pass over"),
        Field("count", "integer", "How many codes to show; 0 asks for the total alone"),
        Field("includeDesignations", "boolean", "Show other names of each code"),
        Field("designation", "string", "Only these: `urn:ietf:bcp:47|da` or `system|code` of a use", maximum="*"),
        Field("includeDefinition", "boolean", "Show what the value set is made from"),
        Field("activeOnly", "boolean", "Leave out codes that are not in use any more"),
        Field("excludeNested", "boolean", "Expansions are flat, whatever is said here"),
        Field("excludeNotForUI", "boolean", "Leave out abstract codes"),
        Field("displayLanguage", "code", "The language of the names: `da`"),
        Field("exclude-system", "canonical", "A code system to leave out", maximum="*"),
        Field("system-version", "canonical", "`system|version` to use where none is said", maximum="*"),
        Field("check-system-version", "canonical", "`system|version`: another one is an error", maximum="*"),
        Field("force-system-version", "canonical", "`system|version` to use whatever is said", maximum="*"),
    ),
)


class ExpandHandler:
    """Answers $expand."""

    def __init__(self, store: PermittedStore, terminology: StoredTerminology, clock: Clock) -> None:
        self._store = store
        self._terminology = terminology
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with the value set and its expansion."""
        access.decide(actor, Read("ValueSet", asking.matched.id))
        given = reading.read(OPERATION, asking)
        url, version = split(given.text("url"))
        version = version or given.text("valueSetVersion")
        value_set = await subject(self._store, actor, asking, given, "valueSet")
        roots = [value_set] if value_set else []
        urls = [("ValueSet", url)] if url and not roots else []
        library = await self._terminology.library(actor, urls=urls, roots=roots)
        value_set = value_set or library.value_set(url, version)
        if value_set is None:
            raise errors.NotFound("there is no such value set here", at="url")
        expanded = expand(value_set, library, wanted(given), now=self._clock.now(), identifier=uuid.uuid4().urn)
        return Answer(200, json.dumps(expanded))


def wanted(given: Inputs) -> Wanted:
    """Return what the parameters ask for."""
    return Wanted(
        filter=given.text("filter"),
        offset=given.number("offset") or 0,
        count=given.number("count"),
        active_only=given.flag("activeOnly"),
        designations=given.flag("includeDesignations"),
        designation=given.texts("designation"),
        definition=given.flag("includeDefinition"),
        not_for_ui=given.flag("excludeNotForUI"),
        language=given.text("displayLanguage"),
        versions=Versions(
            default=dict(map(split, given.texts("system-version"))),
            check=dict(map(split, given.texts("check-system-version"))),
            force=dict(map(split, given.texts("force-system-version"))),
        ),
        excluded=frozenset(split(one)[0] for one in given.texts("exclude-system")),
        told=tuple(one for one in given.told if one[0] not in {"url", "valueSetVersion"}),
    )
