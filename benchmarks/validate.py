"""Validation: µs for an Observation, beside fhir.resources in the same run. `python -m benchmarks.validate [FOLDER]`.

FOLDER may hold FHIR resources as JSON files (the R4 examples); without it, one blood-pressure Observation is measured.
"""

from __future__ import annotations

import sys
import time
import timeit
from pathlib import Path
from typing import Any

from gateway.fhir import authority
from gateway.fhir.validate import validate
from gateway.formats import json

BLOOD_PRESSURE = rb"""{"resourceType":"Observation","id":"bp","meta":{"source":"urn:feed"},"status":"final",
"identifier":[{"system":"urn:ietf:rfc:3986","value":"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"}],
"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}]}],
"code":{"coding":[{"system":"http://loinc.org","code":"85354-9"},{"system":"urn:iso:std:iso:11073:10101","code":"150020"}]},
"subject":{"reference":"Patient/p"},"effectiveDateTime":"2026-10-25T02:30:00+01:00","device":{"reference":"Device/d"},
"component":[
{"code":{"coding":[{"system":"http://loinc.org","code":"8480-6"}]},"valueQuantity":{"value":120,"unit":"mmHg",
"system":"http://unitsofmeasure.org","code":"mm[Hg]"}},
{"code":{"coding":[{"system":"http://loinc.org","code":"8462-4"}]},"valueQuantity":{"value":80.5,"unit":"mmHg",
"system":"http://unitsofmeasure.org","code":"mm[Hg]"}}]}"""


PULSE = rb"""{"resourceType":"Observation","id":"hr","status":"final","code":{"coding":[{"system":"http://loinc.org",
"code":"8867-4"}]},"subject":{"reference":"Patient/p"},"effectiveDateTime":"2026-10-25T02:30:00+01:00",
"device":{"reference":"Device/d"},"valueQuantity":{"value":72,"unit":"/min","system":"http://unitsofmeasure.org",
"code":"/min"}}"""
ROUNDS = 40


def microseconds(resources: list[dict[str, Any]], checks: list[Any]) -> list[float]:
    """Return CPU time, the best of many short rounds of each check, taken in turn: other work disturbs both."""
    best = [float("inf")] * len(checks)
    for _ in range(ROUNDS):
        for at, check in enumerate(checks):
            times = max(1, 200 // len(resources)) if at == 0 else 1
            seconds = timeit.timeit(lambda: [check(one) for one in resources], timer=time.process_time, number=times)  # noqa: B023
            best[at] = min(best[at], seconds / times / len(resources) * 1e6)
    return best


def main(arguments: list[str]) -> None:
    began = time.perf_counter()
    validate(json.loads(BLOOD_PRESSURE))
    print(f"first resource of the first type: {(time.perf_counter() - began) * 1e3:.1f} ms")
    began = time.perf_counter()
    validate({"resourceType": "Procedure", "status": "completed", "subject": {"display": "x"}})
    print(f"first resource of another type:   {(time.perf_counter() - began) * 1e3:.1f} ms")
    sets = {"pulse": [json.loads(PULSE)], "blood pressure": [json.loads(BLOOD_PRESSURE)]}
    if arguments:
        read = [json.loads(path.read_bytes()) for path in sorted(Path(arguments[0]).glob("*.json"))]
        read = [one for one in read if not validate(one) and authority.verdict(one)]
        sets["every Observation"] = [one for one in read if one["resourceType"] == "Observation"]
        sets["every resource"] = read
    print(f"{'':20}{'number':>8}{'bytes':>8}{'here, µs':>12}{'fhir.resources, µs':>20}")
    for name, resources in sets.items():
        assert not any(validate(one) for one in resources)
        size = sum(len(json.dumps(one)) for one in resources) // len(resources)
        here, there = microseconds(resources, [validate, authority.verdict])
        print(f"{name:20}{len(resources):>8}{size:>8}{here:>12.1f}{there:>20.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
