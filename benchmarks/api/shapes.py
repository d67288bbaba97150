"""What is asked: the shapes of the search mix, each as a path with values drawn from the population.

The issue's own shapes, and the runnable ones of mock-health's queries.yaml (MIT; `loadtest: include`) as its folder
stands beside the project; without the folder the mix says so and does without.
"""

from __future__ import annotations

import random
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.api.driver import Request
from benchmarks.api.population import Population, uid
from synthetic.citizens import FAMILIES

Shape = Callable[[random.Random], str]


def own(population: Population, patients: int) -> dict[str, Shape]:
    """Return the shapes of the issue: name → a path for a chance."""

    def patient(chance: random.Random) -> str:
        number = chance.randrange(patients)
        return uid(number, population.records[number % len(population.records)][0]["id"])

    sampled = random.Random(patients)
    families = [population.family(sampled.randrange(patients)) for _ in range(200)]

    def family(chance: random.Random) -> str:
        return chance.choice(families if chance.random() < 0.1 else FAMILIES)

    def code(chance: random.Random, pool: str = "observation_code") -> str:
        return _quoted(chance.choice(population.pools[pool]))

    def day(chance: random.Random) -> tuple[int, int]:
        return chance.randrange(1935, 2020), chance.randrange(1, 13)

    def born(chance: random.Random) -> str:
        year, month = day(chance)
        return f"Patient?birthdate=ge{year}-{month:02}-01&birthdate=lt{year + 1}-{month:02}-01&_count=20"

    return {
        "patient_by_family": lambda c: f"Patient?family={_quoted(family(c))}&_count=10",
        "patient_by_identifier": lambda c: f"Patient?identifier=urn:example:record|record-{c.randrange(patients)}",
        "patient_by_birth_date_range": born,
        "observation_by_patient_code_date": lambda c: (
            f"Observation?patient={patient(c)}&code={code(c)}&date=ge2000&_sort=-date&_count=20"
        ),
        "observation_include": lambda c: (
            f"Observation?patient={patient(c)}&_include=Observation:encounter&_include=Observation:patient&_count=10"
        ),
        "encounter_by_patient": lambda c: f"Encounter?patient={patient(c)}&_count=10",
        "patient_has_observation": lambda c: f"Patient?_has:Observation:patient:code={code(c)}&_count=10",
        "observation_by_patient_name": lambda c: f"Observation?subject:Patient.family={_quoted(family(c))}&_count=10",
        "condition_by_patient_identifier": lambda c: (
            f"Condition?patient.identifier=urn:example:record|record-{c.randrange(patients)}"
        ),
    }


def published(path: Path, population: Population, patients: int) -> dict[str, Shape]:
    """Return the shapes of queries.yaml that its own load test runs."""
    found: dict[str, Shape] = {}
    for query in yaml.safe_load(path.read_text("utf-8"))["queries"]:
        if query.get("method", "GET") != "GET" or str(query.get("loadtest", "include")).startswith("skip"):
            continue
        found[query["name"]] = _published(query, population, patients)
    return found


def _published(query: dict[str, Any], population: Population, patients: int) -> Shape:
    def path(chance: random.Random) -> str:
        values = {name: _drawn(pool, chance, population, patients) for name, pool in query.get("sample", {}).items()}

        def filled(text: str) -> str:
            for name, value in values.items():
                text = text.replace("{{" + name + "}}", value)
            return text

        asked = urllib.parse.urlencode({name: filled(str(value)) for name, value in query.get("params", {}).items()})
        return filled(query["path"]) + (f"?{asked}" if asked else "")

    return path


def _drawn(pool: str, chance: random.Random, population: Population, patients: int) -> str:
    number = chance.randrange(patients)
    if pool == "patient_id":
        return uid(number, population.records[number % len(population.records)][0]["id"])
    if pool == "patient_family":
        return population.family(number)
    return chance.choice(population.pools[pool])


def requests(shapes: dict[str, Shape], seed: int) -> Iterator[Request]:
    """Yield searches of all shapes in turn, without end."""
    chance = random.Random(seed)
    while True:
        for name, shape in shapes.items():
            yield Request("GET", shape(chance), kind=name)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
