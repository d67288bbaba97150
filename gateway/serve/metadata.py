"""The CapabilityStatement, made from the table of routes, the operations and the table of search parameters.

What it says, works. FHIR R4 CapabilityStatement; invariants cpb-1, -2, -9, -12, -14 hold by construction.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway import errors
from gateway.clock import Clock, instant
from gateway.formats import json
from gateway.search import parameters
from gateway.search.parameters import Kind, Parameters
from gateway.serve import shaping
from gateway.serve.answer import Answer, Header
from gateway.serve.asking import Asking
from gateway.serve.operation import Level, Operation
from gateway.serve.routes import COMPARTMENTS, Interaction, Route
from gateway.serve.shaping import Shape

FHIR_VERSION: Final = "4.0.1"
MODES: Final = ("full", "normative", "terminology")
CORS: Final[list[Header]] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"accept, authorization, content-type, prefer, x-request-id"),
    (b"access-control-max-age", b"86400"),
]
"""The statement is open to everybody, so also to pages of any origin; nothing else is."""
_SERVICE: Final = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_BEARER: Final[Mapping[str, Any]] = {
    "cors": False,
    "service": [{"coding": [{"system": _SERVICE, "code": "OAuth"}]}],
    "description": "Bearer tokens with SMART v2 system scopes; nothing but this statement is open.",
}
_COMPARTMENT: Final = "http://hl7.org/fhir/CompartmentDefinition/"
_NO_CODE: Final = frozenset({Interaction.CAPABILITIES, Interaction.SEARCH_COMPARTMENT, Interaction.OPERATION})
"""Interactions that R4 has no code for: said elsewhere in the statement."""
_NORMATIVE: Final = frozenset(
    {"Bundle", "CapabilityStatement", "CodeSystem", "Observation", "OperationDefinition", "OperationOutcome"}
    | {"Parameters", "Patient", "StructureDefinition", "ValueSet", "Binary"}
)
"""Resource types that R4 calls normative."""


class Capabilities:
    """Answers /metadata. `base` is the address of the API, `rows` and `operations` what it routes, `views` the types that
    are not stored.
    """

    def __init__(
        self,
        base: str,
        software_version: str,
        clock: Clock,
        rows: Sequence[Route],
        operations: Sequence[Operation],
        security: Mapping[str, Any] | None = None,
        views: frozenset[str] = frozenset(),
    ) -> None:
        self._base = base
        self._version = software_version
        self._rows = rows
        self._operations = operations
        self._security = security or _BEARER
        self._views = views
        self._since = instant(clock.now())

    def answer(self, asking: Asking) -> Answer:
        """Answer with the statement, or an OPTIONS request of a browser with who may ask."""
        if asking.matched.route.method == "OPTIONS":
            return Answer(204, headers=[*CORS])
        mode = asking.take("mode") or "full"
        if mode not in MODES:
            raise errors.Incorrect("mode is full, normative or terminology", at="mode")
        shape = shaping.taken(asking, "", but=("_elements",))
        asking.no_more("metadata takes mode, _format, _pretty and _summary")
        return Answer(200, self._written(mode, shape), [*CORS], lasting=True)

    @functools.cache  # noqa: B019  one for the life of the process
    def _written(self, mode: str, shape: Shape) -> bytes:
        return shape.of(json.dumps(self.terminology() if mode == "terminology" else self.statement(mode)))

    def terminology(self) -> dict[str, Any]:
        """Return the TerminologyCapabilities of this server (`mode=terminology`)."""
        return {"resourceType": "TerminologyCapabilities", **self._about(), "codeSearch": "explicit"}

    def _about(self) -> dict[str, Any]:
        return {
            "status": "active",
            "date": self._since,
            "kind": "instance",
            "software": {"name": "Sundbro", "version": self._version},
            "implementation": {"description": "Sundbro, a health data-sharing gateway", "url": self._base},
        }

    def statement(self, mode: str = "full") -> dict[str, Any]:
        """Return the CapabilityStatement; `normative` names the normative resource types alone."""
        types = [name for name in sorted(parameters.types()) if mode == "full" or name in _NORMATIVE]
        rest = {
            "mode": "server",
            "security": self._security,
            "resource": [self._resource(parameters.of(name)) for name in types],
            "interaction": [{"code": code} for code in self._codes(typed=False)],
            "searchParam": [
                _parameter(one) for one in parameters.of("Basic").all() if one.base == "Resource" and one.supported
            ],
            "operation": self._operations_of("", Level.SYSTEM),
            "compartment": [_COMPARTMENT + name[0].lower() + name[1:] for name in COMPARTMENTS],
        }
        return {
            "resourceType": "CapabilityStatement",
            **self._about(),
            "fhirVersion": FHIR_VERSION,
            "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
            **_given("patchFormat", self._patches()),
            "rest": [{name: value for name, value in rest.items() if value}],
        }

    def _view(self, known: Parameters) -> dict[str, Any]:
        """Return what is true of a type that is not stored: it is read and searched."""
        return {
            "type": known.type,
            "profile": f"http://hl7.org/fhir/StructureDefinition/{known.type}",
            "interaction": [{"code": code} for code in ("read", "vread", "search-type")],
            "versioning": "versioned",
            "searchParam": [_parameter(one) for one in known.all() if one.supported],
        }

    def _codes(self, *, typed: bool) -> list[str]:
        """Return the interactions of the rows: of types, or of the whole system."""
        rows = (row for row in self._rows if row.interaction not in _NO_CODE)
        found = [row.interaction.value for row in rows if row.pattern.startswith("/{type}") is typed]
        return [*dict.fromkeys(code for codes in found for code in _SPLIT.get(codes, (codes,)))]

    def _patches(self) -> list[str]:
        return [*dict.fromkeys(kind for row in self._rows if row.method == "PATCH" for kind in row.takes)]

    def _resource(self, known: Parameters) -> dict[str, Any]:
        if known.type in self._views:
            return self._view(known)
        references = [one for one in known.all() if one.kind is Kind.REFERENCE and one.supported]
        declared: dict[str, Any] = {}
        for row in self._rows:
            if not row.types or known.type in row.types:
                declared |= row.declares
        return {
            "type": known.type,
            "profile": f"http://hl7.org/fhir/StructureDefinition/{known.type}",
            "interaction": [{"code": code} for code in self._codes(typed=True)],
            **declared,
            "referencePolicy": ["literal", "logical"],
            **_given("searchInclude", ["*", *(f"{known.type}:{one.name}" for one in references)]),
            **_given("searchRevInclude", _referring(known.type)),
            "searchParam": [_parameter(one) for one in known.all() if one.supported],
            **_given("operation", self._operations_of(known.type, Level.TYPE, Level.INSTANCE)),
        }

    def _operations_of(self, kind: str, *levels: Level) -> list[dict[str, str]]:
        return [
            {"name": row.code, "definition": row.definition}
            for row in self._operations
            if row.levels & {*levels} and (not kind or not row.types or kind in row.types)
        ]


_SPLIT: Final = {"transaction": ("transaction", "batch")}
"""One row, two interactions: the Bundle says which."""


def _given(name: str, value: list[Any]) -> dict[str, Any]:
    return {name: value} if value else {}


def _parameter(one: parameters.Parameter) -> dict[str, str]:
    return {"name": one.name, "definition": one.definition, "type": one.kind.value}


@functools.cache
def _referring(kind: str) -> list[str]:
    """Return `Type:parameter` of every reference parameter that may name a type."""
    return [
        f"{name}:{one.name}"
        for name in sorted(parameters.types())
        for one in parameters.of(name).all()
        if one.kind is Kind.REFERENCE and one.supported and kind in one.targets
    ]
