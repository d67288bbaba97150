"""Small valid messages of the three feeds about synthetic persons, each to be told from every other.

Person numbers are Danish test numbers (serial 99nn). Nobody gets the same person twice from one `People`.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import uuid
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from adapters.municipal_medcom import compose, parts
from gateway.formats import json as exact

ZONE = ZoneInfo("Europe/Copenhagen")
MORNING = dt.datetime(2025, 3, 29, 8, 0, tzinfo=ZONE)
"""A Saturday; the night after it has only 23 hours."""
CPR = "urn:oid:1.2.208.176.1.2"
ER7 = "application/hl7-v2"

HOSPITAL = parts.Place("265161000016000", "5790000209354", "Prøvesygehuset, Medicinsk Sengeafsnit")
MUNICIPALITY = parts.Place("953741000016009", "5790001348120", "Prøvekommunen, Hjemmeplejen")


@dataclass(frozen=True, slots=True)
class Person:
    """`cpr` is ten digits."""

    cpr: str
    family: str
    given: str = "Nancy"

    @property
    def born(self) -> str:
        """YYYYMMDD; a serial of 9nnn means 1937 to 1999 for years from 37 on."""
        return f"19{self.cpr[4:6]}{self.cpr[2:4]}{self.cpr[:2]}"


class People:
    """Persons without end. `number` begins somewhere else for every user of one gateway."""

    def __init__(self, number: int = 0) -> None:
        self._numbers = itertools.count(number)
        self.all: list[Person] = []

    def one(self) -> Person:
        number = next(self._numbers)
        born = dt.date(1940, 1, 1) + dt.timedelta(days=number // 50)
        person = Person(f"{born:%d%m%y}99{number % 50 * 2:02d}", f"Prøvesen{_letters(number)}")
        self.all.append(person)
        return person


def _letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def hl7(moment: dt.datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S}.{moment.microsecond // 1000:03d}{moment:%z}"


def phone(number: int) -> str:
    """Return the telephone number that shows which update a Patient has seen last."""
    return f"+4570{number:06d}"


def pid(person: Person) -> str:
    return f"PID|1||{person.cpr}^^^CPR&1.2.208.176.1.2&ISO^NNDNK||{person.family}^{person.given}^^^^^L||{person.born}|F"


def adt(
    person: Person, control: str, *, event: str = "A08", number: int = 0, at: dt.datetime = MORNING, visit: str = ""
) -> bytes:
    """Return an ADT message; its telephone number is `phone(number)`. With `visit`, there is a stay as well."""
    structure = {"A01": "ADT_A01", "A08": "ADT_A01", "A03": "ADT_A03"}.get(event, f"ADT_{event}")
    segments = [
        f"MSH|^~\\&|EPJ|PSYG|SUNDBRO|RSYD|{hl7(at)}||ADT^{event}^{structure}|{control}|P|2.5.1|||||DNK|UNICODE UTF-8",
        f"EVN|{event}|{hl7(at)}",
        f"{pid(person)}|||Prøvevej {number + 1}^^Odense C^^5000^DNK^H||^PRN^PH^^^^^^^^^{phone(number)}",
    ]
    if visit:
        ended = hl7(at) if event == "A03" else ""
        segments.append(
            "PV1|1|I|GERI^12^1^PSYG|R" + "|" * 15 + f"{visit}^^^PSYG" + "|" * 25 + f"{hl7(MORNING)}|{ended}"
        )
    return ("\r".join(segments) + "\r").encode()


def oru(person: Person, control: str, *, order: str, value: str = "7.4", at: dt.datetime = MORNING) -> bytes:
    """Return an ORU^R01 with one report of two results; `value` is that of the first (B-haemoglobin)."""
    segments = [
        f"MSH|^~\\&|LABKA|PSYG|SUNDBRO|RSYD|{hl7(at)}||ORU^R01^ORU_R01|{control}|P|2.5.1|||||DNK|UNICODE UTF-8",
        pid(person),
        f"ORC|RE|{order}^EPJ|{order}^LABKA||CM",
        f"OBR|1|{order}^EPJ|{order}^LABKA|KBA2^Almen biokemi^L|||{hl7(at)}|||||||||||||||{hl7(at)}||LAB|F",
        f"OBX|1|NM|NPU02319^B-Hæmoglobin(Fe); stofk. = ? mmol/L^NPU||{value}|mmol/L^mmol/L^UCUM|7.3-10.5|N|||F|||{hl7(at)}",
        f"OBX|2|NM|NPU19748^P-C-reaktivt protein; massek. = ? mg/L^NPU||4.0|mg/L^mg/L^UCUM|0-6|N|||F|||{hl7(at)}",
    ]
    return ("\r".join(segments) + "\r").encode()


def nobody(control: str) -> bytes:
    """Return an ADT that says about nobody: taken at the door, rejected by the translator."""
    stamp = hl7(MORNING)
    return (
        f"MSH|^~\\&|EPJ|PSYG|SUNDBRO|RSYD|{stamp}||ADT^A08^ADT_A01|{control}|P|2.5.1|||||DNK|UNICODE UTF-8\r"
        f"EVN|A08|{stamp}\rPID|1||||Ukendt^Ukendt\r"
    ).encode()


def reading(
    person: Person, *, value: float | str = 72, kind: str = "pulse", unit: str = "BPM", at: dt.datetime = MORNING
) -> dict[str, Any]:
    """Return one KIH-style reading."""
    return {
        "timestamp": at.isoformat(),
        "type": kind,
        "measurement": {"unit": unit, "value": value},
        "patient": {"cpr": person.cpr},
    }


def lines(readings: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in readings)


def notification(
    person: Person, *, letter: str = "", envelope: str = "", episode: str = "", at: dt.datetime = MORNING
) -> bytes:
    """Return a MedCom HospitalNotification of an admission (STIN)."""
    sent = parts.Sent(letter or str(uuid.uuid4()), envelope or str(uuid.uuid4()), "admit-inpatient", at)
    citizen = parts.Citizen(person.cpr, person.family, (person.given,))
    made = compose.compose_hospital_notification(
        "STIN", citizen, HOSPITAL, MUNICIPALITY, [sent], episode=episode or str(uuid.uuid4()), started=at
    )
    return exact.dumps(made)
