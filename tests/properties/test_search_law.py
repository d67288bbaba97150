"""The law: the store's search finds exactly what `match` says, in the order asked for, page by page, counted right."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Incorrect
from gateway.fhir import body as bodies
from gateway.formats import json
from gateway.model import Mode
from gateway.search import parameters, parse, times
from gateway.search.index import extract
from gateway.search.match import match
from gateway.search.query import After, Query, Sort
from gateway.store.port import Batch, Write
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores

LOINC = "http://loinc.org"
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
        return {
            "coding": [{"code": code, **({"system": system} if system else {})} for code, system in chosen],
            "text": "x",
        }

    def subject(self):
        return {
            "reference": self.pick(
                *PATIENTS, *PATIENTS, "Group/p1", "Device/p2", "https://other.example/Patient/p1", "#x"
            )
        }

    def resource(self, kind: str, number: int):
        made = {
            "Observation": lambda: {
                "status": self.pick("final", "final", "final", "amended", "cancelled"), "code": self.concept(), "category": [self.concept()],
                "subject": self.maybe(self.subject, 0.9), "performer": [self.subject()], "issued": self.maybe(lambda: self.pick(*TIMES), 0.2),
                "valueCodeableConcept": self.maybe(self.concept, 0.3), "component": self.maybe(lambda: [{"code": self.concept()}, {"code": self.concept()}], 0.4),
                self.pick("effectiveDateTime", "effectiveInstant"): self.maybe(self.moment, 0.6), "valueDateTime": self.maybe(self.moment, 0.3),
            },
            "Encounter": lambda: {
                "status": self.pick("finished", "in-progress"), "class": {"system": "s", "code": self.pick("IMP", "AMB")}, "subject": self.subject(),
                "period": self.maybe(self.period, 0.8), "location": [{"location": {"reference": "Location/l"}, "period": self.period()} for _ in range(self.random.randint(0, 2))],
            },
            "Patient": lambda: {
                "active": self.maybe(lambda: self.pick(True, False)), "birthDate": self.maybe(lambda: self.pick(*DAYS)), "gender": self.pick("male", "female"),
                "identifier": [{"system": self.pick("s", "t"), "value": self.pick("1", "2", "3")}], "deceasedBoolean": self.maybe(lambda: self.pick(True, False), 0.3),
                "telecom": [{"system": self.pick("phone", "email"), "value": self.pick("1", "2")}],
            },
            "Appointment": lambda: {
                "status": "booked", "start": self.maybe(lambda: self.pick(*TIMES)),
                "participant": [{"actor": self.subject()} for _ in range(self.random.randint(1, 3))],
            },
            "Condition": lambda: {"code": self.concept(), "subject": self.subject(), "onsetPeriod": self.maybe(self.period), "recordedDate": self.maybe(self.moment)},
        }[kind]()  # fmt: skip
        meta = {"tag": [{"system": "s", "code": self.pick("x", "y")}], "source": self.pick("urn:a", "urn:b")}
        return {
            "resourceType": kind,
            "id": f"p{number}",
            "meta": meta,
            **{name: value for name, value in made.items() if value is not None},
        }


KINDS = {"Observation": 160, "Encounter": 60, "Patient": 40, "Appointment": 60, "Condition": 60}


class Told(Frequencies):
    """Statistics that say what the test wants, so that both ways to search are taken."""

    def __init__(self, frequent: bool) -> None:
        super().__init__(_look_at=1e18)
        self.frequent = frequent

    def rare(self, *_, **__) -> bool:
        return not self.frequent


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

    def pages(self, query: Query) -> list:
        found, after = [], query.after
        while True:
            page = self.runner.run(self.store.search(replace(query, after=after)))
            assert len(page.versions) <= query.count
            found += page.versions
            if not page.more:
                return found
            assert page.versions, "an empty page that says there is more"
            after = After(page.last_key, page.last_rid)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    with stores.running_database(tmp_path_factory.mktemp("law")) as database, asyncio.Runner() as runner:
        store = PostgresStore(database.url, outbox_partition=stores.partition, extract=extract, merge=stores.merge)
        runner.run(store.start())
        try:
            world = Loaded(runner, store)
            world.load()
            yield world
        finally:
            runner.run(store.stop())


CODES = st.sampled_from(
    ["a", "b", "c", "d", f"{LOINC}|a", f"{NPU}|a", f"{NPU}|c", "|d", "|a", r"b\|\,", "z", "http://x|a"]
)
REFERENCES = st.sampled_from(
    [*PATIENTS, "Group/p1", "p1", "p2", "https://other.example/Patient/p1", "Location/l", "Device/p2", "Patient/none"]
)
DATES = st.builds(
    str.__add__,
    st.sampled_from(["", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]),
    st.sampled_from([*MOMENTS, "2026", "2027", "1900"]),
)
WORDS = st.sampled_from(
    [
        "final",
        "amended",
        "finished",
        "IMP",
        "s|AMB",
        "male",
        "1",
        "s|2",
        "true",
        "false",
        "x",
        "s|y",
        "urn:a",
        "phone|1",
        "booked",
    ]
)


def values(parameter: parameters.Parameter):
    one = {parameters.Kind.DATE: DATES, parameters.Kind.REFERENCE: REFERENCES, parameters.Kind.URI: WORDS}.get(
        parameter.kind
    )
    if one is None:
        one = CODES if any(place.type == "CodeableConcept" for place in parameter.paths) else WORDS
    return st.lists(one, min_size=1, max_size=3, unique=True).map(",".join)


ASKABLE = {
    "Observation": "code combo-code component-code category status subject patient performer date value-date value-concept _tag _lastUpdated _id",
    "Encounter": "status class subject patient date location-period _source _lastUpdated", "Patient": "birthdate gender active identifier deceased phone email telecom _tag _id",
    "Appointment": "patient actor status date", "Condition": "code patient subject onset-date recorded-date _tag",
}  # fmt: skip


@st.composite
def questions(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    names = draw(st.lists(st.sampled_from(ASKABLE[kind].split()), max_size=3))
    pairs = [
        (name, draw(st.just("p1,p2,p3,p10") if name == "_id" else values(parameters.of(kind).get(name))))
        for name in names
    ]
    main = parameters.of(kind).main_date
    sort = draw(st.sampled_from([None, "_lastUpdated", "-_lastUpdated", main, f"-{main}"]))
    return kind, pairs + ([("_sort", sort)] if sort else [])


NOW = dt.datetime(2026, 3, 29, 12, tzinfo=dt.UTC)
met: Counter[str] = Counter()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=questions(), count=st.sampled_from([3, 50, 500]), frequent=st.booleans())
def test_the_store_finds_exactly_what_match_says(loaded, question, count, frequent):
    kind, pairs = question
    try:
        query = replace(parse.understand(kind, pairs, now=NOW).query, count=count, total=True)
    except Incorrect:
        return
    loaded.store._searches._frequencies = Told(frequent)
    expected = {resource["id"] for resource in loaded.resources[kind] if match(query, resource)}
    if count < 50 and len(expected) > 20:
        query = replace(query, count=11)
    found = loaded.pages(query)
    assert sorted(version.id for version in found) == sorted(expected), (kind, pairs)
    assert loaded.runner.run(loaded.store.search(query)).total == len(expected)
    in_order(query, found)
    met["with matches" if expected else "without"] += 1
    met[query.sort] += 1


def in_order(query: Query, found) -> None:
    by_update = query.sort in {Sort.NEWEST, Sort.OLDEST}
    keys = [version.last_updated if by_update else extract(json.loads(version.body)).date_low for version in found]
    dated = [key for key in keys if key is not None]
    assert keys == dated + [None] * (len(keys) - len(dated)), "those without a date come last"
    newest = query.sort in {Sort.NEWEST, Sort.DATE_NEWEST}
    assert all(one >= two if newest else one <= two for one, two in pairwise(dated))


def test_the_questions_met_something():
    """After the law, in the order of this file: its questions were no empty ones."""
    assert met["with matches"] > 60, met
    assert met["without"] > 20, met
    assert min(met[sort] for sort in Sort) > 10, met


def test_a_page_stands_still_while_others_write(loaded):
    """Keyset paging: what is new does not push shown ones onto the next page."""
    query = replace(parse.parse("Condition", [("_sort", "_lastUpdated")]), count=10)
    first = loaded.runner.run(loaded.store.search(query))
    loaded.apply({"resourceType": "Condition", "id": "new", "subject": {"reference": "Patient/p1"}})
    rest = loaded.pages(replace(query, after=After(first.last_key, first.last_rid)))
    shown = [version.id for version in (*first.versions, *rest)]
    assert len(shown) == len(set(shown))
    assert shown[-1] == "new"
    loaded.apply({"resourceType": "Condition", "id": "new"}, minute=5, deleted=True)
