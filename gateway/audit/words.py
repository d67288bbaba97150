"""What a citizen is told of a look at his data, in Danish and English: why, by which profession, at what kind of data.

Only words: no name, no code. What has no word of its own is told in general words, never as a code.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final

from gateway.access import Purpose
from gateway.audit.record import Record
from gateway.audit.vocabulary import Event

LANGUAGES: Final = ("da", "en")
Words = tuple[str, str]
"""Danish, English."""

PURPOSES: Final[Mapping[str, Words]] = {
    Purpose.OWN.value: ("egen adgang", "own access"),
    Purpose.TREATMENT.value: ("aktuel behandling", "current treatment"),
    Purpose.VAERDISPRING.value: (
        "værdispring (adgang af hensyn til dig eller andre, selv om den ellers var spærret)",
        "an override (access in your or others' interest that was otherwise blocked)",
    ),
    Purpose.CONSENT.value: ("dit samtykke", "your consent"),
    Purpose.QUALITY.value: ("kvalitetsarbejde eller egen læring", "quality work or own learning"),
    Purpose.SHARING.value: ("udveksling mellem systemer", "exchange between systems"),
    Purpose.OPERATION.value: ("drift af systemet", "operation of the system"),
}
ROLES: Final[Mapping[str, Words]] = {
    "7170": ("læge", "doctor"),
    "5433": ("tandlæge", "dentist"),
    "5166": ("sygeplejerske", "nurse"),
    "5175": ("jordemoder", "midwife"),
    "5151": ("fysioterapeut", "physiotherapist"),
    "5153": ("ergoterapeut", "occupational therapist"),
    "5265": ("kiropraktor", "chiropractor"),
    "5155": ("fodterapeut", "chiropodist"),
    "5176": ("bioanalytiker", "biomedical laboratory scientist"),
    "5176R": ("radiograf", "radiographer"),
    "5158": ("social- og sundhedsassistent", "social and health care assistant"),
}
"""Professional groups by education code (as DK Core writes 7170). A code that is not here is told as a professional."""
_PROFESSIONAL: Final = ("sundhedsperson", "health professional")
_SYSTEM: Final = ("et it-system", "an IT system")
_YOURSELF: Final = ("dig selv, eller en der handler for dig", "you, or somebody who acts for you")
_OPERATOR: Final = ("en driftsmedarbejder", "somebody who runs the system")
KINDS: Final[Mapping[str, Words]] = {
    "AllergyIntolerance": ("allergier", "allergies"),
    "Appointment": ("aftaler", "appointments"),
    "AuditEvent": ("loggen over hvem der har set dine data", "the log of who has seen your data"),
    "CarePlan": ("planer for behandling og pleje", "care plans"),
    "CareTeam": ("dit behandlerteam", "your care team"),
    "Communication": ("beskeder", "messages"),
    "Composition": ("dokumenter", "documents"),
    "Condition": ("diagnoser og helbredsproblemer", "diagnoses and problems"),
    "Consent": ("samtykker og spærringer", "consents and blocks"),
    "Device": ("udstyr", "devices"),
    "DiagnosticReport": ("svar på prøver og undersøgelser", "results of tests and examinations"),
    "DocumentReference": ("dokumenter", "documents"),
    "Encounter": ("kontakter og indlæggelser", "visits and admissions"),
    "EpisodeOfCare": ("forløb", "episodes of care"),
    "Goal": ("mål for behandlingen", "goals"),
    "ImagingStudy": ("billeder", "images"),
    "Immunization": ("vaccinationer", "vaccinations"),
    "MedicationAdministration": ("medicin", "medicines"),
    "MedicationDispense": ("medicin", "medicines"),
    "MedicationRequest": ("medicin", "medicines"),
    "MedicationStatement": ("medicin", "medicines"),
    "Observation": ("målinger og prøvesvar", "measurements and test results"),
    "Patient": ("stamoplysninger", "personal details"),
    "Procedure": ("behandlinger og operationer", "procedures"),
    "QuestionnaireResponse": ("spørgeskemaer", "questionnaires"),
    "ServiceRequest": ("henvisninger", "referrals"),
    "Specimen": ("prøver", "specimens"),
}
_OTHER: Final = ("andre oplysninger", "other information")
_BAD_REQUEST: Final = 400
_CHANGED: Final = frozenset({Event.CREATE, Event.UPDATE, Event.PATCH, Event.DELETE})


def of(words: Words, language: str) -> str:
    """Return words in a language of LANGUAGES."""
    return words[LANGUAGES.index(language)]


def purpose(record: Record, language: str) -> str:
    """Return why, '' where nothing is known."""
    return of(PURPOSES.get(record.purpose, ("", "")), language)


def role(record: Record, language: str) -> str:
    """Return what sort of person or system it was."""
    match record.kind:
        case "citizen":
            return of(_YOURSELF, language)
        case "staff":
            return of(ROLES.get(record.role, _PROFESSIONAL), language)
        case "operator":
            return of(_OPERATOR, language)
        case _:
            return of(_SYSTEM, language)


def kinds(record: Record) -> tuple[str, ...]:
    """Return the resource types that a record is about."""
    found = dict.fromkeys(one.partition("/")[0] for one in record.resources)
    return tuple(sorted(found)) or ((record.type,) if record.type else ())


def data(types: Iterable[str], language: str) -> list[str]:
    """Return what kinds of data these types are, each once."""
    return list(dict.fromkeys(of(KINDS.get(one, _OTHER), language) for one in types))


def changed(record: Record, hidden: Container[str] = ()) -> bool:
    """Say whether data, but for hidden types, were changed: what was refused was at most looked at."""
    if record.event is Event.BUNDLE:
        return any(
            one.event in _CHANGED and one.status < _BAD_REQUEST and one.type not in hidden for one in record.entries
        )
    return record.event in _CHANGED and record.status < _BAD_REQUEST
