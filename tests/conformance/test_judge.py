"""Our verdicts beside the independent judge's: published examples, and examples damaged from a seed.

Where they differ it must be for a reason that docs/reference/validation.md lists. Minutes, by `make corpus`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.formats import json
from tests.conformance import judging, mutations
from tests.corpus import corpus_folder

pytestmark = [pytest.mark.corpus, pytest.mark.slow, pytest.mark.timeout(1800)]

SETS = {
    "dk-core": ("hl7.fhir.dk.core-3.7.0", ["dk-core/3.7.0"], 350),
    "hospitalnotification": (
        "medcom.fhir.dk.hospitalnotification-3.0.2",
        ["medcom-fhir/hospitalnotification/3.0.2", "medcom-fhir/hospitalnotificationtestscripts/3.0.1"],
        150,
    ),
    "homecareobservation": (
        "medcom.fhir.dk.homecareobservation-1.2.1", ["medcom-fhir/homecareobservation/1.2.1"], 120,
    ),
    "carecommunication": (
        "medcom.fhir.dk.carecommunication-5.0.2",
        ["medcom-fhir/carecommunication/5.0.2", "medcom-fhir/carecommunicationtestscripts/5.0.0"],
        150,
    ),
    "acknowledgement": ("medcom.fhir.dk.acknowledgement-2.0.3", ["medcom-fhir/acknowledgement/2.0.3"], 50),
    "r4": ("", ["fhir-r4-examples"], 400),
}  # fmt: skip
STRICTER = {"target", "empty", "code-unknown", "binding", "max", "fixed", "min", "ext-1", "ref-1"}
LAXER = {
    "MEASURE_M_CRITERIA_CQL_NO_LIB", "SM_TARGET_PATH_INVALID", "SM_SOURCE_CONTEXT_UNKNOWN", "SM_TARGET_CONTEXT_UNKNOWN",
    "TYPE_SPECIFIC_CHECKS_DT_ATT_B64_DECODE_FAIL", "TYPE_SPECIFIC_CHECKS_DT_ATT_HASH_MISMATCH",
    "BUNDLE_BUNDLE_ENTRY_NOTFOUND_CANNOT", "Type_Specific_Checks_DT_XHTML_Resolve_Img",
}  # fmt: skip
"""The reasons of docs/reference/validation.md. A file is excused when one of them is among what was said about it."""
AGREEMENT_MIN = {"published": 0.97, "damaged": 0.9}


def paths(name: str) -> list[Path]:
    return list(judging.files(*(corpus_folder(folder) for folder in SETS[name][1])))


def told(name: str, what: str, verdicts: judging.Verdicts) -> None:
    print(f"\n{name}, {what}: {verdicts.row()}")
    for (side, reason), count in verdicts.reasons().most_common():
        print(f"    {side:8} {count:3} {reason}")
    whole = verdicts.agree + len(verdicts.stricter) + len(verdicts.laxer)
    assert verdicts.agree >= AGREEMENT_MIN[what] * whole
    for file, issues in verdicts.stricter.items():
        assert {issue.key for issue in issues} & STRICTER, f"{file}: {issues}"


@pytest.mark.parametrize("name", SETS)
def test_published_examples_are_judged_alike(name: str) -> None:
    verdicts = judging.compare(paths(name), SETS[name][0])
    told(name, "published", verdicts)
    for file, messages in verdicts.laxer.items():
        assert {message["id"] for message in messages} & LAXER, f"{file}: {messages}"
    if name != "r4":
        assert not verdicts.stricter
        assert not verdicts.laxer


@pytest.mark.parametrize("name", SETS)
def test_damaged_examples_are_judged_alike(name: str, tmp_path: Path) -> None:
    resources = [(path.name, judging.read(path)) for path in paths(name) if path.stat().st_size <= 60_000]
    made = []
    for number, (file, kind, changed) in enumerate(mutations.mutants(resources, SETS[name][2], seed=len(name))):
        path = tmp_path / f"{number:04}-{kind.replace(' ', '-')}-{file}"
        path.write_bytes(json.dumps(changed))
        made.append(path)
    told(name, "damaged", judging.compare(made, SETS[name][0]))
