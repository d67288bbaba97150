"""Senders who speak of the same things at the same time and disagree: the load under which order between partitions shows.

Four persons, one physician, one instrument and two organisations, told of by eight hospital lines, three vendors and two
municipalities at once, with names, versions and times that contradict one another, among them duplicates, used envelopes
and messages about nobody. How many versions come of it, and which, is decided by who is applied first.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from adapters.municipal_medcom import compose, parts
from gateway.formats import json as exact
from tests.load import HOSPITAL_LINES, VENDORS, Load, Posted
from tests.messages import HOSPITAL, MORNING, MUNICIPALITY, Person, adt, lines, nobody, oru, reading

DAYS = 9
READINGS = 4
NAMES = ("Ask", "Bodil", "Carl", "Dagny", "Eskil", "Freja")


class Quarrel(Load):
    """About `count` messages, sent as `Load` sends them. `shared` has their persons."""

    def __init__(self, seed: int, count: int) -> None:
        super().__init__(seed, 0)
        self.shared: list[Person] = [self.people.one() for _ in range(4)]
        self.lines = [self._line(line, count // 2 // HOSPITAL_LINES) for line in range(HOSPITAL_LINES)]
        self.posts = [self._readings(vendor, count // 3 // VENDORS // READINGS) for vendor in range(VENDORS)]
        self.posts += [self._letters(count // 12) for _ in range(2)]
        self.messages = {body: "hospital" for line in self.lines for body in line}
        for post in (post for sender in self.posts for post in sender):
            self.messages |= dict.fromkeys(post.messages, post.feed)

    def _when(self, done: float) -> dt.datetime:
        """Later and later as the load goes on, but no clock agrees with another: half of a day more or less."""
        return MORNING + dt.timedelta(days=DAYS * done + self._chance.random() / 2)

    def _line(self, line: int, count: int) -> list[bytes]:
        made: list[bytes] = []
        for n in range(count):
            control, person, at = f"Q{line}.{n}", self._chance.choice(self.shared), self._when(n / count)
            kind = self._chance.random()
            if kind < 0.05:
                made.append(nobody(control))
                self.rejected.add(made[-1])
            elif kind < 0.15 and made:
                made.append(self._chance.choice(made))  # sent again although it was answered: a duplicate
            elif kind < 0.35:
                made.append(oru(person, control, order=f"O{n % 7}", value=f"{5 + n % 5}.{line}", at=at))
            else:
                told = adt(person, control, number=n, at=at, visit=f"V{self.shared.index(person)}")
                physician = f"4711^{self._chance.choice(NAMES)}sen^{self._chance.choice(NAMES)}^^^^^^^^^^L".encode()
                assert told.count(b"|R|||") == 1
                made.append(told.replace(b"|R|||", b"|R|||" + physician))
        return made

    def _readings(self, vendor: int, count: int) -> list[Posted]:
        made = []
        for n in range(count):
            told = []
            for place in range(READINGS):
                one: dict[str, Any] = reading(
                    self._chance.choice(self.shared), value=60 + n % 40 + vendor, at=self._when(n / count)
                )
                instrument = {
                    "manufacturer": "Prøvefabrikken",
                    "model": f"Puls {self._chance.randrange(3)}",
                    "firmwareVersion": f"{vendor}.{n}.{place}",
                    "primaryDeviceIdentifier": {"macAddress": "6C:EC:EB:43:DE:1F"},
                }
                one["origin"] = {"deviceMeasurement": instrument}
                told.append(one)
            body = lines(told)
            made.append(Posted("home", "application/x-ndjson", body, body.splitlines()))
        return made

    def _letters(self, count: int) -> list[Posted]:
        bodies: list[bytes] = []
        envelopes = [str(uuid.UUID(int=self._chance.getrandbits(128), version=4)) for _ in range(count // 6 + 1)]
        for n in range(count):
            envelope = envelopes[n // 6] if n % 6 == 5 else str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
            if n % 6 == 4:
                envelope = envelopes[n // 6]  # the next one comes in the same, about somebody else
            bodies.append(self._letter(envelope, self._when(n / count)))
        return [Posted("municipal", "application/fhir+json", body, [body]) for body in bodies]

    def _letter(self, envelope: str, at: dt.datetime) -> bytes:
        person = self._chance.choice(self.shared)
        letter = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        sent = parts.Sent(letter, envelope, "admit-inpatient", at)
        hospital = parts.Place(HOSPITAL.sor, HOSPITAL.gln, f"Prøvesygehuset {self._chance.choice(NAMES)}")
        municipality = parts.Place(MUNICIPALITY.sor, MUNICIPALITY.gln, f"Prøvekommunen {self._chance.choice(NAMES)}")
        citizen = parts.Citizen(person.cpr, person.family, (self._chance.choice(NAMES),))
        episode = str(uuid.UUID(int=7 + self.shared.index(person), version=4))
        made = compose.compose_hospital_notification(
            "STIN", citizen, hospital, municipality, [sent], episode=episode, started=at
        )
        return exact.dumps(made)
