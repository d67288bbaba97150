"""Golden pairs: what each sample of adapters/hospital_hl7v2/samples becomes. REWRITE_SAMPLES=1 writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.validate import validate
from tests.feeds.golden import agree
from tests.feeds.hospital import DANISH, SAMPLES, translate
from tests.feeds.judge import DK_CORE, judged_resources

NAMES = sorted(path.stem for path in SAMPLES.glob("*.hl7"))
DK_PATIENT = "http://hl7.dk/fhir/core/StructureDefinition/dk-core-patient"


def outcome(name: str) -> dict[str, Any]:
    done = translate((SAMPLES / f"{name}.hl7").read_bytes(), DANISH)
    return {
        "type": done.message_type,
        "changes": [
            {
                "mode": change.mode.value,
                "clear": list(change.clear),
                "weak": list(change.weak),
                "resource": change.resource,
            }
            for change in done.changes
        ],
        "rejected": [reason.as_json() for reason in done.reasons],
        "notices": [{"code": notice.code, "at": notice.at} for notice in done.notices],
    }


def resources(name: str) -> list[dict[str, Any]]:
    return [change["resource"] for change in outcome(name)["changes"]]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_becomes_what_its_golden_file_says_digit_for_digit(name: str) -> None:
    agree(SAMPLES / f"{name}.expected.json", outcome(name))


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_comes_of_a_sample_is_valid_r4(name: str) -> None:
    assert [issue for resource in resources(name) for issue in validate(resource)] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("rejected-")])
def test_a_rejected_sample_changes_nothing(name: str) -> None:
    made = outcome(name)
    assert made["rejected"]
    assert not made["changes"]


def test_an_independent_validator_finds_no_error_in_the_samples(tmp_path: Path) -> None:
    """HAPI's validator: base R4 for all, and DK Core for the patients, who come from a Danish feed."""
    made = [each for name in NAMES for each in resources(name)]
    claimed = [
        each | {"meta": {**each.get("meta", {}), "profile": [DK_PATIENT]}}
        if each["resourceType"] == "Patient"
        else each
        for each in made
    ]
    assert judged_resources(claimed, tmp_path, DK_CORE) == []
