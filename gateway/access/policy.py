"""What law and region leave to be decided, in one place: who may read and write which types, and the periods. Tables only.

Sources and reasons: docs/explanation/access.md.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.access.actor import Assurance, Kind, Purpose
from gateway.search import parameters
from gateway.search.standing import Category

ADMINISTRATIVE: Final = frozenset(
    {
        "ActivityDefinition", "CapabilityStatement", "CodeSystem", "CompartmentDefinition", "ConceptMap", "DeviceDefinition",
        "Endpoint", "GraphDefinition", "HealthcareService", "ImplementationGuide", "Library", "Location", "Measure",
        "Medication", "MedicationKnowledge", "MessageDefinition", "NamingSystem", "ObservationDefinition",
        "OperationDefinition", "Organization", "OrganizationAffiliation", "PlanDefinition", "Practitioner",
        "PractitionerRole", "Questionnaire", "SearchParameter", "SpecimenDefinition", "StructureDefinition",
        "StructureMap", "Substance", "TerminologyCapabilities", "ValueSet",
    }
)  # fmt: skip
"""Types about nobody's health: open to every user whose scopes name them."""
NAMING: Final = frozenset({"AdverseEvent", "Device", "Group", "Schedule", "SupplyRequest", "Task"})
"""Types that are in the record of whom they name as subject, patient, member or actor, though R4 gives them no such
parameter, or does not say that they are in the compartment.
"""
FOLLOWING: Final = frozenset({"Binary", "Provenance"})
"""Types that exist for whoever sees all that they are about."""
RECORD: Final = (
    frozenset(
        name
        for name in parameters.types()
        if parameters.compartment("Patient", name) and (name == "Patient" or parameters.of(name).get("patient"))
    )
    | NAMING
) - (FOLLOWING | {"AuditEvent"})
"""Types that are in a patient's record: those of R4's patient compartment, and what names a patient. An AuditEvent is shown
by another room (who has seen my data).
"""
WITHOUT_PATIENT: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        Kind.CITIZEN: frozenset({"Device", "Schedule"}),
        Kind.STAFF: frozenset({"Device", "Group", "Schedule", "SupplyRequest"}),
        Kind.SYSTEM: frozenset({"Device", "Group", "Schedule", "SupplyRequest"}),
    }
)
"""Types of the record that are open, as administrative ones are, where one of them names no patient and nobody else."""
NOT_FOR_OTHERS: Final = frozenset({"Consent"})
"""A spærring is not to be seen by those whom it may shut out, professionals and holders of a fuldmagt, nor its being there."""
UNBLOCKED: Final = frozenset({"Patient", "Person"})
"""Who somebody is, is no health data: a spærring does not hide it."""

WRITES: Final[Mapping[Kind, Mapping[str, str]]] = MappingProxyType(
    {
        Kind.CITIZEN: {"Consent": "cud", "Observation": "c", "QuestionnaireResponse": "cu"},
        Kind.STAFF: dict.fromkeys(
            RECORD
            - {
                "Account",
                "Consent",
                "Encounter",
                "EpisodeOfCare",
                "Group",
                "Patient",
                "Person",
                "RelatedPerson",
                "Schedule",
                "ServiceRequest",
            },
            "cu",
        ),
    }
)
"""What users may write, by letters of scope. Nobody writes what gives himself a right: a professional no encounter, episode
or referral (a relation), a citizen no Patient or RelatedPerson (custody). Who is who, and lists of others, are systems' too.
"""
REPRESENTED_WRITES: Final[Mapping[str, str]] = MappingProxyType({"Consent": "c"})
"""What a holder of custody may write for a child, of Consents a spærring alone (`decide.may_state`); a fuldmagt opens
reading alone.
"""

CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
HIDES: Final[Mapping[Purpose, tuple[str, ...]]] = MappingProxyType(
    {
        Purpose.OWN: (),
        Purpose.TREATMENT: ("V",),
        Purpose.VAERDISPRING: (),
        Purpose.CONSENT: ("V",),
        Purpose.QUALITY: ("R", "V"),
    }
)
"""Confidentiality (v3-Confidentiality) of resources that a purpose does not open."""
NOT_FOR_PARENTS: Final = ("urn:sundbro:label", "not-for-parents")
"""The security label of what a child's parents are not shown (sundhedsloven § 39 b, best interest of the child)."""
HIDES_REPRESENTED: Final = ("V",)
ASSURANCE: Final[Mapping[Purpose, Assurance]] = MappingProxyType(
    dict.fromkeys(
        (Purpose.OWN, Purpose.TREATMENT, Purpose.VAERDISPRING, Purpose.CONSENT, Purpose.QUALITY), Assurance.SUBSTANTIAL
    )
)
"""The least assurance (NSIS) of a user's log-in for a purpose."""
PURPOSES: Final[Mapping[Kind, frozenset[Purpose]]] = MappingProxyType(
    {
        Kind.SYSTEM: frozenset({Purpose.SHARING, Purpose.TREATMENT, Purpose.CONSENT}),
        Kind.CITIZEN: frozenset({Purpose.OWN}),
        Kind.STAFF: frozenset({Purpose.TREATMENT, Purpose.VAERDISPRING, Purpose.CONSENT, Purpose.QUALITY}),
        Kind.OPERATOR: frozenset({Purpose.OPERATION}),
    }
)
"""Why each kind of caller may ask at all."""
CONTEXTS: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        Kind.SYSTEM: frozenset({"system"}),
        Kind.CITIZEN: frozenset({"patient", "user"}),
        Kind.STAFF: frozenset({"patient", "user"}),
        Kind.OPERATOR: frozenset({"user", "system"}),
    }
)
"""The contexts whose scopes mean anything in a caller's token."""
LOOKS_ALONE: Final = frozenset({Purpose.QUALITY})
"""Purposes that write nothing: own learning (§ 42 d) fetches what stands in a record, up to half a year after the treatment."""
ADULT_YEARS: Final = 15
"""Sundhedsloven § 17: who has turned fifteen decides alone."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a region may set."""

    least: Category = Category.C
    """The least sure treatment relation that opens a record for treatment."""
    begins_before: dt.timedelta = dt.timedelta(days=7)
    """So long before a planned contact its relation stands: it is prepared."""
    lasts_after: dt.timedelta = dt.timedelta(days=62)
    """So long after a contact its relation stands: answers come, letters are written."""
    quality_after: dt.timedelta = dt.timedelta(days=182)
    """So long after a treatment its clinician may look at it to learn (§ 42 d: six months)."""
    unclear_opens: bool = False
    """Whether a record may be opened by a launch for one patient though no relation is known yet (categories D and E: the
    evidence lags by days to weeks). Every such look is flagged, to be confirmed or asked about afterwards.
    """


DEFAULT: Final = Policy()
