"""A small world in a real store, whose values come from small sets so that questions meet: what the laws of search ask."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from gateway.fhir import body as bodies
from gateway.formats import json
from gateway.model import Mode
from gateway.search import times
from gateway.search.index import extract
from gateway.search.query import After, Query
from gateway.store.port import Batch, Write
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
NPU = "urn:oid:1.2.208.176.2.1"
PATIENTS = [f"Patient/p{n}" for n in range(6)]
DAYS = ["2025", "2025-12", "2026-01-01", "2026-03-28", "2026-03-29", "2026-03-30", "2026-10-25", "1936-02-29"]
TIMES = [
    "2026-03-29T00:30:00Z",
    "2026-03-29T23:30:00+02:00",
    "2026-01-01T00:00:00+01:00",
    "2026-03-29T02:59:59.5Z",
    "2026-10-25T00:30:00Z",
]
MOMENTS = DAYS + TIMES


class World:
    """Some hundred resources of a few types, whose values come from small sets so that questions meet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def maybe(self, value, share=0.6):
        return value() if self.random.random() < share else None

    def pick(self, *values):
        return self.random.choice(values)

    def moment(self):
        return self.pick(*MOMENTS)

    def period(self):
        low, high = sorted((self.moment(), self.moment()), key=lambda text: times.interval(text)[0])
        return {
            name: value
            for name, value in (("start", self.maybe(lambda: low, 0.8)), ("end", self.maybe(lambda: high, 0.7)))
            if value
        } or {"start": low}

    def concept(self):
        codings = [("a", LOINC), ("a", NPU), ("b", LOINC), ("c", NPU), ("d", None), ("b|,", NPU)]
        chosen = self.random.sample(codings, self.random.randint(0, 3))
        displays = {
            "a": ["Glucose i blod", "Glukose 12345"],
            "b": ["Blodtryk", "BLØDNING"],
            "c": ["Blood pressure", "glucose"],
        }
        return {
            "coding": [
                {
                    "code": code,
                    **({"system": system} if system else {}),
                    **(
                        {"display": self.pick(*displays[code])}
                        if code in displays and self.random.random() < 0.6
                        else {}
                    ),
                }
                for code, system in chosen
            ],
            "text": self.pick("x", "x", "low glucose", "tryk 120/80, blodtryk", "ring 12345678"),
        }

    def subject(self):
        return {
            "reference": self.pick(
                *PATIENTS, *PATIENTS, "Group/p1", "Device/p2", "https://other.example/Patient/p1", "#x"
            ),
            **({"display": self.pick("Bo Smith", "Sørensen, Anna", "1234-56")} if self.random.random() < 0.3 else {}),
        }

    def quantity(self):
        unit = self.pick(
            ("mg", UCUM, "mg"),
            ("g", UCUM, "g"),
            ("kg", UCUM, "kg"),
            ("mmol/L", UCUM, "mmol/L"),
            ("mg", "", ""),
            ("pills", "urn:x", "g"),
            ("", "", ""),
        )
        number = Decimal(self.pick("1", "5.4", "5.40", "1000", "0.001", "-3", "100"))
        found = {
            "value": number,
            "unit": unit[0],
            "system": unit[1],
            "code": unit[2],
            "comparator": self.pick("", "", "", "<", ">="),
        }
        return {name: value for name, value in found.items() if value != ""}

    def name(self):
        return {
            "family": self.pick(
                "Sørensen", "sorensen", "Ås", "Aas", "Smith", "Smithers", "von der Smith", "S" * 70, "S" * 70 + "x"
            ),
            **(
                {"given": self.random.sample(["Anna", "Änne", "John", "Bo"], self.random.randint(1, 2))}
                if self.random.random() < 0.7
                else {}
            ),
        }

    def resource(self, kind: str, number: int):
        made = {
            "Observation": lambda: {
                "status": self.pick("final", "final", "final", "amended", "cancelled"), "code": self.concept(), "category": [self.concept()],
                "subject": self.maybe(self.subject, 0.9), "performer": [self.subject()], "issued": self.maybe(lambda: self.pick(*TIMES), 0.2),
                "encounter": self.maybe(lambda: {"reference": f"Encounter/p{self.random.randrange(12)}"}), "valueQuantity": self.maybe(self.quantity, 0.5),
                "hasMember": self.maybe(lambda: [{"reference": f"Observation/p{self.random.randrange(20)}"}], 0.3), "valueString": self.maybe(lambda: self.pick("Low blood", "blood low", "BLØD"), 0.2),
                "valueCodeableConcept": self.maybe(self.concept, 0.3), "note": self.maybe(lambda: [{"text": self.pick("early glucose", "Åben 12345678", "b-12 blod")}], 0.3),
                "text": self.maybe(lambda: {"status": "generated", "div": self.pick("<div>low blod&oslash;</div>", "<div><p>Blood</p>pressure 12345</div>")}, 0.2), "component": self.maybe(lambda: [{"code": self.concept(), "valueQuantity": self.quantity()}, {"code": self.concept(), "valueQuantity": self.quantity()}], 0.4),
                self.pick("effectiveDateTime", "effectiveInstant"): self.maybe(self.moment, 0.6), "valueDateTime": self.maybe(self.moment, 0.3),
            },
            "Encounter": lambda: {
                "status": self.pick("finished", "in-progress"), "class": {"system": "s", "code": self.pick("IMP", "AMB")}, "subject": self.subject(),
                "period": self.maybe(self.period, 0.8), "location": [{"location": {"reference": self.pick("Location/p1", "Location/p2", "Location/none")}, "period": self.period()} for _ in range(self.random.randint(0, 2))],
            },
            "Patient": lambda: {
                "active": self.maybe(lambda: self.pick(True, False)), "birthDate": self.maybe(lambda: self.pick(*DAYS)), "gender": self.pick("male", "female"),
                "identifier": [{"system": self.pick("s", "t"), "value": self.pick("1", "2", "3"), "type": {"text": self.pick("record number", "2026")}}], "deceasedBoolean": self.maybe(lambda: self.pick(True, False), 0.3),
                "name": self.maybe(lambda: [self.name() for _ in range(self.random.randint(1, 2))], 0.9), "address": self.maybe(lambda: [{"city": self.pick("Boston", "Århus"), "line": ["Gade 1"]}]),
                "generalPractitioner": self.maybe(lambda: [{"reference": "Practitioner/p1"}, {"reference": "Organization/p2"}], 0.5),
                "telecom": [{"system": self.pick("phone", "email"), "value": self.pick("1", "2")}],
            },
            "Appointment": lambda: {
                "status": "booked", "start": self.maybe(lambda: self.pick(*TIMES)),
                "participant": [{"actor": self.subject()} for _ in range(self.random.randint(1, 3))],
            },
            "Condition": lambda: {"code": self.concept(), "subject": self.subject(), "onsetPeriod": self.maybe(self.period), "recordedDate": self.maybe(self.moment),
                "onsetString": self.maybe(lambda: self.pick("early", "late"), 0.2)},
            "Practitioner": lambda: {"name": [self.name()], "identifier": [{"system": "s", "value": self.pick("1", "2")}]},
            "Location": lambda: {"name": self.pick("Ward", "ward 1", "Åben"), "position": self.maybe(lambda: {"longitude": Decimal(self.pick("10.2", "12.5")), "latitude": Decimal(self.pick("56.1", "55.7"))})},
            "RiskAssessment": lambda: {"status": "final", "subject": self.subject(), "prediction": [{"probabilityDecimal": Decimal(self.pick("0.1", "0.5", "0.50", "0.9"))} for _ in range(self.random.randint(0, 2))]},
            "ValueSet": lambda: {"status": "active", "url": self.pick("http://a.example/x", "http://a.example/x/y", "http://A.example/x", "http://a.example/xy", "urn:z"), "title": self.maybe(lambda: self.pick("One", "two"))},
        }[kind]()  # fmt: skip
        meta = {"tag": [{"system": "s", "code": self.pick("x", "y")}], "source": self.pick("urn:a", "urn:b", "urn:a/c")}
        if self.random.random() < 0.5:
            meta["profile"] = self.random.sample(["http://p.example/a", "http://p.example/a/b", "http://q.example"], 2)
        made["text"] = self.maybe(
            lambda: {"status": "generated", "div": f"<div>{self.pick('blood low', 'Smith &amp; Søn')}</div>"}, 0.3
        )
        return {
            "resourceType": kind,
            "id": f"p{number}",
            "meta": meta,
            **{name: value for name, value in made.items() if value is not None},
        }


KINDS = {
    "Observation": 160, "Encounter": 60, "Patient": 40, "Appointment": 60, "Condition": 60, "Practitioner": 6, "Location": 12, "RiskAssessment": 20,
    "ValueSet": 16,
}  # fmt: skip


class Told(Frequencies):
    """Statistics that say what the test wants, so that both ways to search are taken."""

    def __init__(self, frequent: bool) -> None:
        super().__init__(_look_at=1e18, looked=int(frequent))
        self.frequent = frequent

    def rare(self, *_, **__) -> bool:
        return not self.frequent

    def few(self, *_) -> int:
        return 2 if self.frequent else 1000


class Loaded:
    """The world in a store, and as the store says it is."""

    def __init__(self, runner: asyncio.Runner, store: PostgresStore) -> None:
        self.runner = runner
        self.store = store
        self.resources: dict[str, list[dict]] = {}

    def load(self) -> None:
        world = World(7)
        for kind, number in KINDS.items():
            for few in range(0, number, 8):  # several transactions, so that times of update differ
                self.apply(*(world.resource(kind, place) for place in range(few, min(few + 8, number))))
            self.apply(*(world.resource(kind, place) for place in range(0, number, 3)), minute=1)
            # deleted ones are found by nothing
            self.apply(*({"resourceType": kind, "id": f"p{n}"} for n in range(0, number, 10)), minute=2, deleted=True)
            found = [self.runner.run(self.store.read(kind, f"p{place}")) for place in range(number)]
            self.resources[kind] = [json.loads(version.body) for version in found if not version.deleted]

    def apply(self, *resources, minute=0, deleted=False) -> None:
        writes = []
        for resource in resources:
            body = bodies.prepare(resource)
            writes.append(
                Write(
                    type=resource["resourceType"], id=resource["id"], mode=Mode.PUT, body=b"" if deleted else body, digest=bodies.content_digest(body),
                    event_time=stores.NOON + dt.timedelta(minutes=minute), index=extract(resource), deleted=deleted,
                )
            )  # fmt: skip
        self.runner.run(self.store.apply(Batch([stores.message(*writes)])))

    def find(self, kind: str) -> list[dict]:
        return self.resources.get(kind, [])

    def pages(self, query: Query) -> list:
        found, after = [], query.after
        while True:
            page = self.runner.run(self.store.search(replace(query, after=after)))
            assert len(page.versions) <= query.count
            found += page.versions
            if not page.more:
                return found
            assert page.versions, "an empty page that says there is more"
            after = After(page.last_key, page.last_rid, page.last_keys)


@contextlib.contextmanager
def loaded_world(folder: Path) -> Iterator[Loaded]:
    with stores.running_database(folder) as database, asyncio.Runner() as runner:
        store = PostgresStore(database.url, outbox_partition=stores.partition, extract=extract, merge=stores.merge)
        runner.run(store.start())
        try:
            world = Loaded(runner, store)
            world.load()
            yield world
        finally:
            runner.run(store.stop())
