"""What a hospital says about stays: ADT^A01, A08, A02, A03 in HL7 v2.5.1 (ER7), many stays open at once.

Shapes: HL7 v2.5.1 chapter 3; person numbers under the CPR OID with type NNDNK. For one citizen the messages come in the
order of what happened; between citizens they are mixed.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from synthetic.citizens import Citizen, Citizens

ZONE = ZoneInfo("Europe/Copenhagen")
CHARSETS = {"utf-8": "UNICODE UTF-8", "iso-8859-1": "8859/1"}
"""Python's name → what MSH-18 says (HL7 table 0211)."""

WARDS = (("LUNGE", "Lungemedicinsk"), ("HJERTE", "Hjertemedicinsk"), ("GERI", "Geriatrisk"), ("KIR", "Kirurgisk"))
_STEPS = ("A01", "A08", "A02", "A08", "A03")
_STRUCTURES = {"A01": "ADT_A01", "A08": "ADT_A01", "A02": "ADT_A02", "A03": "ADT_A03"}
_OPEN_MAX = 200


def stamp(moment: dt.datetime) -> str:
    """Write a moment as HL7 v2 does, in Danish time with its offset, to the millisecond."""
    local = moment.astimezone(ZONE)
    return f"{local:%Y%m%d%H%M%S}.{local.microsecond // 1000:03d}{local:%z}"


def msh(application: str, message: str, control: str, at: str, charset: str) -> str:
    """Return the MSH segment; `message` is code^event^structure."""
    return (
        f"MSH|^~\\&|{application}|OUH^1.2.208.176.1.1^ISO|SUNDBRO|RSYD|{at}||{message}|{control}|P|2.5.1|||AL|NE|DNK|"
        f"{CHARSETS[charset]}|da"
    )


def pid(citizen: Citizen) -> str:
    """Return the PID segment."""
    return (
        f"PID|1||{citizen.cpr}^^^CPR&1.2.208.176.1.2&ISO^NNDNK||{citizen.family}^{citizen.given}^^^^^L||"
        f"{citizen.born:%Y%m%d}|{citizen.sex}|||{citizen.street}^^{citizen.town}^^{citizen.postal_code}^DNK^H^^"
        f"{citizen.municipality}||^PRN^PH^^^^^^^^^{citizen.phone}"
    )


class Department:
    """A sender of a hospital. `charset` is a key of CHARSETS; `faults` is the share of messages with a fault in them."""

    name: ClassVar[str]
    """What its chance is drawn under."""
    prefix: ClassVar[str]
    """What its numbers begin with."""

    def __init__(
        self, citizens: Citizens, clock: Clock, *, charset: str = "utf-8", faults: float = 0.0, prefix: str = ""
    ) -> None:
        self._citizens = citizens
        self._clock = clock
        self._charset = charset
        self._faults = faults
        self._prefix = prefix or self.prefix
        self._draw = random.Random(f"{citizens.seed} {self.name}")  # noqa: S311
        self._messages = 0


@dataclass(slots=True)
class _Stay:
    citizen: Citizen
    number: str
    admitted: str
    ward: int
    room: int
    step: int = 0


class Hospital(Department):
    """A patient administration."""

    name = "hospital"
    prefix = "ADT"

    def __init__(self, citizens: Citizens, clock: Clock, **given: Any) -> None:
        """Take what a Department takes."""
        super().__init__(citizens, clock, **given)
        self._stays: dict[str, _Stay] = {}
        self._numbers = 0

    def adt(self) -> Iterator[bytes]:
        """Yield ADT messages for ever: stays begin, change, move and end."""
        while True:
            stay = self._next_stay()
            yield self._message(stay, _STEPS[stay.step]).encode(self._charset)
            stay.step += 1
            if stay.step == len(_STEPS):
                del self._stays[stay.citizen.cpr]

    def admissions(self) -> Iterator[bytes]:
        """Yield one admission (A01) for each citizen, who stays."""
        for place, citizen in enumerate(self._citizens, 1):
            stay = _Stay(citizen, f"{self._prefix}{self._citizens.seed}-{place}", stamp(self._clock.now()), 0, place)
            yield self._message(stay, "A01").encode(self._charset)

    def _next_stay(self) -> _Stay:
        draw = self._draw
        room = min(_OPEN_MAX, len(self._citizens))
        if len(self._stays) < room and (not self._stays or draw.random() < 1 / len(_STEPS)):
            citizen = self._citizens.one()
            if citizen.cpr not in self._stays:
                self._numbers += 1
                ward, bed = draw.randrange(len(WARDS)), draw.randint(1, 40)
                number = f"{self._prefix}{self._citizens.seed}-{self._numbers}"
                stay = _Stay(citizen, number, stamp(self._clock.now()), ward, bed)
                self._stays[citizen.cpr] = stay
                return stay
        if self._stays:
            return draw.choice(tuple(self._stays.values()))
        return self._next_stay()

    def _message(self, stay: _Stay, event: str) -> str:
        self._messages += 1
        now = stamp(self._clock.now())
        before = f"{WARDS[stay.ward][0]}^{stay.room}^1^OUH" if event == "A02" else ""
        if event == "A02":
            stay.ward = (stay.ward + 1) % len(WARDS)
        person = pid(stay.citizen)
        if self._faults and self._draw.random() < self._faults:
            person = person.replace(stay.citizen.cpr, "9" + stay.citizen.cpr[1:], 1)
        ended = now if event == "A03" else ""
        control = f"{self._prefix}{self._citizens.seed}.{self._messages}"
        place = f"{WARDS[stay.ward][0]}^{stay.room}^1^OUH"
        doctor = "9HL7X^Læge^Prøve^^^^^^&1.2.208.176.1.3&ISO"
        visit = f"PV1|1|I|{place}|R||{before}|{doctor}|||MED" + "|" * 9 + f"{stay.number}^^^OUH"
        segments = (
            msh("EPJ", f"ADT^{event}^{_STRUCTURES[event]}", control, now, self._charset),
            f"EVN|{event}|{now}|||||{now}",
            person,
            visit + "|" * 25 + f"{stay.admitted}|{ended}",
        )
        return "\r".join(segments) + "\r"
