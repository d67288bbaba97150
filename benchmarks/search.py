"""Search without a store: µs to index a resource, to understand a question, to judge one. `python -m benchmarks.search [FOLDER]`.

FOLDER may hold FHIR resources as JSON files (the R4 examples), which are then indexed too.
"""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.validate import BLOOD_PRESSURE, PULSE
from gateway.formats import json
from gateway.search import parameters, parse
from gateway.search.index import extract
from gateway.search.match import match

NANCY = json.loads(
    b"""{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:x","value":"1"}],"name":[{"family":"Berggren",
"given":["Nancy","Ann"]}],"gender":"female","birthDate":"1948-12-25","address":[{"line":["Testgade 1"],"city":"Aarhus",
"postalCode":"8000","country":"DK"}],"telecom":[{"system":"phone","value":"1"}]}"""
)
QUESTIONS = {
    "patient and code": ("Observation", [("patient", "p"), ("code", "http://loinc.org|8480-6"), ("_sort", "-date")]),
    "identifier": ("Patient", [("identifier", "urn:x|1")]),
    "chain": ("Observation", [("subject:Patient.name", "nancy")]),
    "quantity in another unit": ("Observation", [("component-value-quantity", "gt15|http://unitsofmeasure.org|kPa")]),
    "filter": ("Observation", [("_filter", "code eq loinc|8480-6 and not (status eq amended)")]),
}


def microseconds(work: Callable[[], Any]) -> float:
    """Return CPU time, the best of many short rounds."""
    return min(timeit.repeat(work, timer=time.process_time, number=200, repeat=60)) / 200 * 1e6


def main(arguments: list[str]) -> None:
    pulse, pressure = json.loads(PULSE), json.loads(BLOOD_PRESSURE)
    for name, resource in (("pulse", pulse), ("blood pressure", pressure), ("patient", NANCY)):
        print(f"index   {name:26} {microseconds(lambda: extract(resource)):6.1f} µs")  # noqa: B023
    if arguments:
        read = [json.loads(path.read_bytes()) for path in sorted(Path(arguments[0]).glob("*.json"))]
        read = [one for one in read if one.get("resourceType") in parameters.types()]
        best = min(timeit.repeat(lambda: [extract(one) for one in read], timer=time.process_time, number=1, repeat=15))
        print(f"index   {f'mean of {len(read)} resources':26} {best / len(read) * 1e6:6.1f} µs")
    for name, (kind, pairs) in QUESTIONS.items():
        print(f"parse   {name:26} {microseconds(lambda: parse.understand(kind, pairs)):6.1f} µs")  # noqa: B023
        query = parse.parse(kind, pairs)
        if kind == "Observation" and name != "chain":
            print(f"match   {name:26} {microseconds(lambda: match(query, pressure)):6.1f} µs")  # noqa: B023


if __name__ == "__main__":
    main(sys.argv[1:])
