"""No cliff: what a page of a search reads does not grow with the store. Counted in pages of PostgreSQL, not in time."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import re
import statistics
from dataclasses import replace

import pytest

from gateway.fhir import body as bodies
from gateway.fhir.merge import merge
from gateway.model import Mode
from gateway.search import parse
from gateway.search.index import extract
from gateway.store.port import Batch, Write
from gateway.store.postgres import search_sql, search_texts
from gateway.store.postgres.search_recheck import implied
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores
from tests.contracts.stores import raw

SMALL, LARGE = 80, 640
"""Patients of the two stores."""
PAGES_BESIDE = 90
"""What a tree that is one level deeper may cost, and a walk past some that do not answer instead of looking all up."""
UCUM = "http://unitsofmeasure.org"
FAMILIES = [
    first + last for first in ("Jen", "Han", "Niel", "Peder", "Smi", "Bro") for last in ("sen", "berg", "lund", "holm")
]
WORDS = {f"{number}-1": word for number, word in enumerate(["blood", "urine", "spit", "tears", "bile", "lymph", "sweat", "bone", "skin", "hair", "nail", "teeth", "tongue", "ear", "nose", "eye", "lip", "chin", "cheek", "brow"])}  # fmt: skip


def people(count):
    chance = random.Random(3)
    for number in range(count):
        patient = {"reference": f"Patient/p{number}"}
        yield {
            "resourceType": "Patient", "id": f"p{number}", "gender": chance.choice(["male", "female"]), "birthDate": f"19{chance.randrange(30, 99)}-0{chance.randrange(1, 9)}-11",
            "identifier": [{"system": "urn:test", "value": f"{number:06}"}], "name": [{"family": f"{chance.choice(FAMILIES)}{number // 4:03}", "given": [chance.choice(["Anna", "Bo", "Ida"])]}],
        }  # fmt: skip
        for visit in range(2):
            yield {
                "resourceType": "Encounter",
                "id": f"e{number}-{visit}",
                "status": "finished",
                "class": {"code": "AMB"},
                "subject": patient,
                "period": {"start": moment(chance)},
            }
        for result in range(24):
            code, value = f"{min(19, int(chance.expovariate(0.3)))}-1", chance.randrange(1000)
            yield {
                "resourceType": "Observation", "id": f"o{number}-{result}", "status": "final", "subject": patient, "encounter": {"reference": f"Encounter/e{number}-{result % 2}"},
                "code": {"coding": [{"system": "http://loinc.org", "code": code, "display": f"Glucose {WORDS[code]}"}]}, "effectiveDateTime": moment(chance),
                "valueQuantity": {"value": value, "unit": "mg", "system": UCUM, "code": "mg"}, "note": [{"text": f"said by {FAMILIES[number % 24]}{number // 4:03}"}],
            }  # fmt: skip


def moment(chance):
    return (stores.NOON - dt.timedelta(seconds=chance.randrange(100_000_000))).isoformat()


SHAPES = {
    "family": ("Patient", lambda n: [("family", FAMILIES[n % 24] + f"{n // 4:03}")]),
    "family, many": ("Patient", lambda _: [("family", "s"), ("_count", "5")]),
    "identifier": ("Patient", lambda n: [("identifier", f"urn:test|{n:06}")]),
    "birth dates": ("Patient", lambda n: [("birthdate", f"ge19{30 + n % 50}"), ("birthdate", f"lt19{40 + n % 50}"), ("_count", "5")]),
    "gender and family": ("Patient", lambda _: [("gender", "male"), ("family", "b"), ("_count", "5")]),
    "contains, many": ("Patient", lambda _: [("name:contains", "mi"), ("_count", "5")]),
    "contains, none": ("Patient", lambda _: [("name:contains", "xyz")]),
    "_has": ("Patient", lambda n: [("_has:Observation:patient:code", f"{n % 6}-1"), ("_count", "5")]),
    "name:text": ("Patient", lambda n: [("name:text", FAMILIES[n % 24].lower() + f"{n // 4:03}")]),
    "_has, none": ("Patient", lambda _: [("_has:Observation:patient:code", "99-9")]),
    "_sort": ("Patient", lambda _: [("_sort", "family"), ("_count", "5")]),
    "_sort, two keys": ("Patient", lambda _: [("gender", "male"), ("_sort", "-family,given"), ("_count", "5")]),
    "patient and code": ("Observation", lambda n: [("patient", f"Patient/p{n}"), ("code", f"{n % 9}-1"), ("_sort", "-date")]),
    "patient, code, date": ("Observation", lambda n: [("patient", f"Patient/p{n}"), ("code", f"{n % 9}-1"), ("date", "ge2025"), ("_sort", "-date")]),
    "patient": ("Observation", lambda n: [("patient", f"Patient/p{n}")]),
    "code": ("Observation", lambda n: [("code", f"http://loinc.org|{n % 20}-1"), ("_count", "5")]),
    "code on a day": ("Observation", lambda n: [("code", f"{n % 3}-1"), ("date", f"ge2025-05-{n % 28 + 1:02}"), ("date", f"lt2025-05-{n % 28 + 2:02}"), ("_sort", "-date")]),
    "status and class": ("Encounter", lambda _: [("status", "finished"), ("class", "AMB"), ("_count", "5")]),
    "code, by update": ("Observation", lambda n: [("code", f"{n % 3}-1"), ("_sort", "-_lastUpdated"), ("_count", "5")]),
    "date": ("Observation", lambda _: [("date", "ge2025"), ("_count", "5")]),
    "newest": ("Observation", lambda _: [("_count", "10")]),
    "chain by identifier": ("Observation", lambda n: [("patient.identifier", f"urn:test|{n:06}"), ("_sort", "-date")]),
    "chain by family": ("Observation", lambda n: [("subject:Patient.family", FAMILIES[n % 24] + f"{n // 4:03}"), ("_sort", "-date")]),
    "chain, half of all": ("Observation", lambda _: [("patient.gender", "male"), ("_count", "5")]),
    "chain of two": ("Observation", lambda n: [("encounter.patient.identifier", f"{n:06}")]),
    "quantity": ("Observation", lambda _: [("value-quantity", f"gt0.5|{UCUM}|g"), ("_count", "5")]),
    "quantity between": ("Observation", lambda n: [("value-quantity", f"ge{n * 20}|{UCUM}|mg"), ("value-quantity", f"lt{n * 20 + 2}|{UCUM}|mg")]),
    "quantity between, whatever unit": ("Observation", lambda n: [("value-quantity", f"ge{n * 20}"), ("value-quantity", f"lt{n * 20 + 2}"), ("_sort", "-date")]),
    "quantity, sorted by": ("Observation", lambda _: [("_sort", "-value-quantity"), ("_count", "5")]),
    "_content, all": ("Observation", lambda _: [("_content", "glucose"), ("_count", "5")]),
    "_content, some": ("Observation", lambda n: [("_content", f"{WORDS[f'{n % 9}-1']}"), ("_count", "5")]),
    "_content, few": ("Observation", lambda n: [("_content", f"{FAMILIES[n % 24]}{n // 4:03}")]),
    "_content, none": ("Observation", lambda _: [("_content", "zebra")]),
    "_content, two words that never meet": ("Observation", lambda n: [("_content", f"brow {FAMILIES[0]}000")]),
    "_content of a chain": ("Observation", lambda n: [("patient._content", f"{FAMILIES[n % 24]}{n // 4:03}")]),
    "_text, none": ("Observation", lambda _: [("_text", "glucose")]),
    "code:text": ("Observation", lambda n: [("code:text", WORDS[f"{n % 3}-1"]), ("_sort", "-date"), ("_count", "5")]),
    "code:text, none": ("Observation", lambda _: [("code:text", "said"), ("_sort", "-date")]),
    "encounters": ("Encounter", lambda n: [("patient", f"Patient/p{n}")]),
    "_has over encounters": ("Encounter", lambda n: [("_has:Observation:encounter:code", f"{n % 3}-1"), ("_count", "5")]),
}  # fmt: skip


class Filled:
    """A store with so many patients, and what one question reads there."""

    def __init__(self, runner, url, patients):
        self.runner, self.url, self.patients = runner, url, patients
        self.schema = f"cost_{patients}"
        self.store = PostgresStore(
            url, outbox_partition=stores.partition, extract=extract, merge=merge, schema=self.schema
        )
        runner.run(self.fill())

    async def fill(self):
        await self.store.start()
        writes = []
        for resource in people(self.patients):
            body = bodies.prepare(resource)
            writes.append(
                Write(
                    resource["resourceType"],
                    resource["id"],
                    Mode.PUT,
                    body,
                    bodies.content_digest(body),
                    stores.NOON,
                    index=extract(resource),
                )
            )
        for start in range(0, len(writes), 1000):
            await self.store.apply(Batch([stores.message(*writes[start : start + 1000])]))
        async with raw(self.url, self.schema) as connection:
            await connection.execute("vacuum analyze")

    def pages(self, kind, make):
        """The middle of what some questions read, in pages; each plan is a generic one, as in production."""
        return self.runner.run(self._pages(kind, make))

    async def _pages(self, kind, make):
        searches = self.store._searches
        read = []
        async with searches._connections.session() as connection:
            await searches._frequencies.look(connection)
            for number in range(3, 36, 4):
                query = parse.parse(kind, make(number))
                texts = await search_texts.look(connection, self.store._indexing.words, query.terms, kind)
                narrowed = replace(query, terms=tuple(implied(term, kind, texts) for term in query.terms))
                statement = search_sql.page(narrowed, searches._scope())
                await connection.execute(f"prepare question as {statement.sql}")
                given = ", ".join(quoted(value) for value in statement.arguments)
                plan = await connection.fetchval(
                    f"explain (analyze, buffers, timing off, format json) execute question {f'({given})' if given else ''}"
                )
                await connection.execute("deallocate question")
                assert "Seq Scan" not in plan or re.search(r'"Relation Name": "unit"', plan), plan
                (root,) = json.loads(plan)
                read.append(root["Plan"]["Shared Hit Blocks"] + root["Plan"]["Shared Read Blocks"])
        return statistics.median(read)


def quoted(value):
    if isinstance(value, list | tuple):
        return "'{" + ",".join(map(str, value)) + "}'"
    return "'" + str(value).replace("'", "''") + "'"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with stores.running_database(tmp_path_factory.mktemp("cost")) as database, asyncio.Runner() as runner:
        both = [Filled(runner, database.url, patients) for patients in (SMALL, LARGE)]
        yield both
        for one in both:
            runner.run(one.store.stop())


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_page_reads_does_not_grow_with_the_store(filled, shape):
    small, large = (store.pages(*SHAPES[shape]) for store in filled)
    assert large <= 1.5 * small + PAGES_BESIDE, (small, large)
