"""Golden pairs: what each sample of adapters/home_readings/samples becomes. REWRITE_SAMPLES=1 writes them anew."""

from __future__ import annotations

import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.fhir.validate import validate
from gateway.formats import json
from tests.corpus import SHARED
from tests.feeds.home_feed import SAMPLES, translated

NAMES = sorted(path.stem for path in SAMPLES.glob("*.json") if not path.name.endswith(".expected.json"))
JUDGE = SHARED / "judge" / "fhir-validator" / "judge-fhir"


def outcome(name: str) -> dict[str, Any]:
    translation = translated((SAMPLES / f"{name}.json").read_bytes())
    return {
        "resources": [change.resource for change in translation.changes],
        "rejected": [reason.as_json() for reason in translation.reasons],
        "notices": [{"code": notice.code, "at": notice.at} for notice in translation.notices],
    }


def indented(made: Any) -> bytes:
    """JSON for people; a decimal keeps the very digits it has."""

    def exact(value: Decimal) -> orjson.Fragment:
        return orjson.Fragment(str(value))

    return orjson.dumps(made, default=exact, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def test_there_are_samples():
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_becomes_what_its_golden_file_says_digit_for_digit(name):
    made = outcome(name)
    golden = SAMPLES / f"{name}.expected.json"
    if os.environ.get("REWRITE_SAMPLES") == "1":
        golden.write_bytes(indented(made))
    assert json.dumps(json.loads(golden.read_bytes())) == json.dumps(made)


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_comes_of_a_sample_is_valid_r4(name):
    assert [issue for resource in outcome(name)["resources"] for issue in validate(resource)] == []


def judged(resources: list[Any], folder: Path) -> str:
    """What HAPI's validator finds wrong, base R4 and what meta.profile claims of DK Core; '' for nothing."""
    if not JUDGE.exists():
        pytest.skip(f"NOT RUN: the independent validator is not on this machine ({JUDGE})")
    file = folder / "made.ndjson"
    file.write_bytes(b"".join(json.dumps(resource) + b"\n" for resource in resources))
    run = subprocess.run(
        [str(JUDGE), "--guide", "hl7.fhir.dk.core-3.7.0", "--min", "error", str(file)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert f"{len(resources)} resources" in run.stderr, run.stderr
    return run.stdout if run.returncode else ""


def test_an_independent_validator_finds_no_error_in_the_samples(tmp_path):
    assert judged([resource for name in NAMES for resource in outcome(name)["resources"]], tmp_path) == ""
