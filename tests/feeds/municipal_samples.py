"""The synthetic messages of the municipal feed: what adapters/municipal_medcom/samples is written from."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

from adapters.municipal_medcom import compose
from adapters.municipal_medcom.parts import Citizen, Place, Sent
from gateway.model import PersonKey, Resource

ZONE = ZoneInfo("Europe/Copenhagen")
CITIZEN = Citizen("2512489996", "Berggren", ("Nancy", "Ann"))
HOSPITAL = Place("265161000016000", "5790000209354", "Hjertemedicinsk Sengeafsnit")
MUNICIPALITY = Place("953741000016009", "5790001348120", "Plejecenter Syd")
ACUTE_TEAM = Place("1144561000016002", "5790000123117", "Kommunal Akutfunktion Syd")
PRACTICE = Place("52581000016005", "5790000127092", "Lægepraksis Syd", yder="061654")
EPISODE = "7f1d7c1e-3c52-4b0e-9a55-6d0f3b3c7a10"


def at(day: int, hour: int, minute: int = 0) -> dt.datetime:
    """A moment of March 2026; the night to the 29th has only 23 hours."""
    return dt.datetime(2026, 3, day, hour, minute, tzinfo=ZONE)


def letter(number: int) -> str:
    return f"a0000000-0000-4000-8000-{number:012d}"


def envelope(number: int) -> str:
    return f"b0000000-0000-4000-8000-{number:012d}"


def sent(number: int, activity: str, moment: dt.datetime) -> Sent:
    return Sent(letter(number), envelope(number), activity, moment)


def stay() -> dict[str, Resource]:
    """One stay in letters: admitted, on leave, back, discharged; another one cancelled; and a death."""
    admitted = sent(1, "admit-inpatient", at(26, 10, 5))
    away = sent(2, "start-leave-inpatient", at(28, 14))
    back = sent(3, "end-leave-inpatient", at(29, 20))
    home = sent(4, "discharge-inpatient-home", at(30, 11))
    common = {"episode": EPISODE, "started": at(26, 10)}
    leave = (at(28, 14), at(29, 20))
    return {
        "stin": _notify("STIN", [admitted], **common, report_wanted=True),
        "stor": _notify("STOR", [admitted, away], **common, leave=(leave[0], None)),
        "slor": _notify("SLOR", [admitted, away, back], **common, leave=leave),
        "slhj": _notify("SLHJ", [admitted, away, back, home], **common, ended=at(30, 11)),
        "re_stin": _notify(
            "RE_STIN", [admitted, sent(5, "revise-admit-inpatient", at(26, 12))], episode=EPISODE, started=at(26, 9, 30)
        ),
        "an_stin": _notify("AN_STIN", [admitted, sent(6, "cancel-admit-inpatient", at(26, 13))], **common),
        "staa": _notify("STAA", [sent(7, "admit-emergency", at(25, 23, 50))], encounter_class="EMER", **common),
        "mors": _notify("MORS", [admitted, sent(8, "admit-inpatient", at(31, 4))], **common, ended=at(31, 3, 55)),
        "an_mors": _notify(
            "AN_MORS",
            [admitted, sent(8, "admit-inpatient", at(31, 4)), sent(9, "admit-inpatient", at(31, 5))],
            **common,
        ),
    }


def _notify(code: str, history: list[Sent], **given: object) -> Resource:
    return compose.compose_hospital_notification(code, CITIZEN, HOSPITAL, MUNICIPALITY, history, **given)  # type: ignore[arg-type]


def visit() -> dict[str, Resource]:
    """One visit of the acute team, a correction of its report, and a report that the citizen does not want shared."""
    first = sent(20, "new-message", at(28, 9, 30))
    corrected = sent(21, "modified-message", at(28, 10, 15))
    readings = [
        _reading("DNK05472", "Arm—Blodtryk(systolisk); tryk = ? mmHg", 147, "mmHg"),
        _reading("DNK05473", "Arm—Blodtryk(diastolisk); tryk =? mmHg", 92, "mmHg"),
        _reading("NPU21692", "Hjerte—Systole; frekv. = ? × 1/min", 92, "1/min"),
        _reading("NPU10197", "Hb(Fe; O2-bind.; kB)—Oxygen(O2); mætn. = ?", Decimal("0.94"), ""),
        _reading("NPU08676", "Pt—Legeme; temp. = ? °C", Decimal("38.7"), "°C", "Målt i øret"),
        _reading("MCS88122", "Pt—Respiration; frekvens = ? X 1/min", 19, "1/min"),
        _reading("NPU19748", "P—C-reaktivt protein; massek. = ? mg/L", Decimal("26.0"), "mg/L"),
        _reading("NPU04206", "U—Protein; arb.k.(proc.) = ?", 1, "+"),
        _reading("NPU21578", "U—Nitrit; arb.k.(proc.) = ?", "Negative", ""),
        _reading("MCS88125", "Pt—Tidlig Opsporing af Begyndende Sygdom (TOBS) score; antal (værdi 0-15) = ?", 3, ""),
    ]
    again = [compose.Reading(**{**_fields(readings[0]), "value": 149}), *readings[1:]]
    return {
        "report": _report([first], readings, conclusion="A: frie luftveje\nB: let påskyndet respiration"),
        "report-corrected": _report([first, corrected], again, conclusion="Blodtryk rettet"),
        "report-restricted": _report([sent(22, "new-message", at(29, 8))], readings[:2], restricted=True),
    }


def _fields(reading: compose.Reading) -> dict[str, object]:
    return {name: getattr(reading, name) for name in compose.Reading.__slots__}


def _reading(code: str, display: str, value: Decimal | int | str, unit: str, note: str = "") -> compose.Reading:
    return compose.Reading(code, display, value, unit, at(28, 9, 10), note)


def _report(history: list[Sent], readings: list[compose.Reading], **given: object) -> Resource:
    return compose.compose_homecare_observation(
        CITIZEN,
        ACUTE_TEAM,
        PRACTICE,
        history,
        readings,
        nurse="Mia",
        phone="+45 70000000",
        issued=at(28, 9, 30),
        **given,  # type: ignore[arg-type]
    )


def messages() -> dict[str, Resource]:
    """Every synthetic message by the name of its sample."""
    return {f"hospital-notification-{name}": made for name, made in stay().items()} | {
        f"homecare-observation-{name}": made for name, made in visit().items()
    }


CPR = PersonKey("urn:oid:1.2.208.176.1.2", CITIZEN.cpr)
STIN = messages()["hospital-notification-stin"]
MORS = messages()["hospital-notification-mors"]
REPORT = messages()["homecare-observation-report"]
NPU = "http://npu-terminology.org"
OID = "urn:oid:1.2.208.176.2.1"
