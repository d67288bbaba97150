"""The CapabilityStatement, made from the table of routes and the table of search parameters. What it says, works.

FHIR R4 CapabilityStatement; invariants cpb-1, -2, -9, -12, -14 hold by construction.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.clock import Clock, instant
from gateway.formats import json
from gateway.search import parameters
from gateway.search.parameters import Parameters
from gateway.serve.routes import TABLE, Interaction

FHIR_VERSION: Final = "4.0.1"
_SERVICE: Final = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_OF_SYSTEM: Final = frozenset({Interaction.CAPABILITIES, Interaction.TRANSACTION})
_OF_TYPE: Final = tuple(
    dict.fromkeys(route.interaction.value for route in TABLE if route.interaction not in _OF_SYSTEM)
)


def capabilities(base: str, software_version: str, clock: Clock) -> bytes:
    """Return the CapabilityStatement of this server at `base`, as bytes to be served unchanged."""
    statement: dict[str, Any] = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(clock.now()),
        "kind": "instance",
        "software": {"name": "Sundbro", "version": software_version},
        "implementation": {"description": "Sundbro, a health data-sharing gateway", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "cors": False,
                    "service": [{"coding": [{"system": _SERVICE, "code": "OAuth"}]}],
                    "description": "Bearer tokens with SMART v2 system scopes; nothing but this statement is open.",
                },
                "resource": [_resource(parameters.of(name)) for name in sorted(parameters.types())],
                "interaction": [{"code": "transaction"}, {"code": "batch"}],
            }
        ],
    }
    return json.dumps(statement)


def _resource(known: Parameters) -> dict[str, Any]:
    return {
        "type": known.type,
        "interaction": [{"code": code} for code in _OF_TYPE],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical"],
        "searchParam": [
            {"name": parameter.name, "definition": parameter.definition, "type": parameter.kind.value}
            for parameter in known.all()
            if parameter.supported
        ],
    }
