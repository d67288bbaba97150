"""What hospitals and municipalities tell one another in MedCom's FHIR messages, about synthetic citizens.

The messages themselves are composed by adapters/municipal_medcom/compose.py, which keeps the guides; here is who, when
and in which order. A stay is a HospitalNotification of admission and one of discharge; a visit a HomeCareObservation.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.formats import json
from synthetic.citizens import Citizen, Citizens

ZONE = ZoneInfo("Europe/Copenhagen")
_READINGS = (
    ("DNK05472", "Arm—Blodtryk(systolisk); tryk = ? mmHg", "mmHg", 105, 175, 0),
    ("DNK05473", "Arm—Blodtryk(diastolisk); tryk =? mmHg", "mmHg", 55, 100, 0),
    ("NPU21692", "Hjerte—Systole; frekv. = ? × 1/min", "1/min", 48, 110, 0),
    ("NPU08676", "Pt—Legeme; temp. = ? °C", "°C", 358, 389, 1),
    ("MCS88122", "Pt—Respiration; frekvens = ? X 1/min", "1/min", 11, 26, 0),
    ("NPU19748", "P—C-reaktivt protein; massek. = ? mg/L", "mg/L", 0, 900, 1),
)
_OPEN_MAX = 100


class Municipality:
    """The letters between a hospital, a municipality and a practice. Needs the MedCom adapter (imported when used)."""

    def __init__(self, citizens: Citizens, clock: Clock) -> None:
        from adapters.municipal_medcom import compose, parts  # noqa: PLC0415 - only who sends MedCom messages needs it

        self._compose: Any = compose
        self._parts: Any = parts
        self._citizens = citizens
        self._clock = clock
        self._draw = random.Random(f"{citizens.seed} municipal")  # noqa: S311
        self._hospital = parts.Place("265161000016000", "5790000209354", "Prøvesygehuset, Medicinsk Sengeafsnit")
        self._municipality = parts.Place("953741000016009", "5790001348120", "Prøvekommunen, Hjemmeplejen")
        self._practice = parts.Place("52581000016005", "5790000127092", "Prøvepraksis", yder="061654")

    def notifications(self) -> Iterator[bytes]:
        """Yield HospitalNotifications for ever: citizens are admitted (STIN) and go home (SLHJ)."""
        waiting: list[tuple[Citizen, Any, dt.datetime, str]] = []
        while True:
            now = self._now()
            if len(waiting) < _OPEN_MAX and (not waiting or self._draw.random() < 0.5):  # noqa: PLR2004
                citizen, episode = self._citizens.one(), self._uuid()
                admitted = self._sent("admit-inpatient", now)
                waiting.append((citizen, admitted, now, episode))
                yield self._notification("STIN", citizen, [admitted], episode=episode, started=now, report_wanted=True)
            else:
                citizen, admitted, started, episode = waiting.pop(0)
                history = [admitted, self._sent("discharge-inpatient-home", now)]
                yield self._notification("SLHJ", citizen, history, episode=episode, started=started, ended=now)

    def observations(self) -> Iterator[bytes]:
        """Yield HomeCareObservations for ever: an acute team's measurements, for the practice that asked."""
        while True:
            now = self._now()
            readings = [
                self._compose.Reading(code, name, self._value(low, high, decimals), unit, now)
                for code, name, unit, low, high, decimals in _READINGS
            ]
            made = self._compose.compose_homecare_observation(
                self._person(self._citizens.one()),
                self._municipality,
                self._practice,
                [self._sent("new-message", now)],
                readings,
                nurse="Mia",
                phone="+45 70000000",
                issued=now,
            )
            yield json.dumps(made)

    def _notification(self, code: str, citizen: Citizen, history: list[Any], **given: Any) -> bytes:
        made = self._compose.compose_hospital_notification(
            code, self._person(citizen), self._hospital, self._municipality, history, **given
        )
        return json.dumps(made)

    def _person(self, citizen: Citizen) -> Any:
        return self._parts.Citizen(citizen.cpr, citizen.family, (citizen.given,))

    def _sent(self, activity: str, at: dt.datetime) -> Any:
        return self._parts.Sent(self._uuid(), self._uuid(), activity, at)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))

    def _value(self, low: int, high: int, decimals: int) -> Decimal | int:
        drawn = self._draw.randint(low, high)
        return Decimal(drawn).scaleb(-decimals) if decimals else drawn

    def _now(self) -> dt.datetime:
        return self._clock.now().astimezone(ZONE).replace(microsecond=0)
