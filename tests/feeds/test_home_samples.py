"""Golden pairs: what each sample of adapters/home_readings/samples becomes. REWRITE_SAMPLES=1 writes them anew."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.fhir.validate import validate
from tests.feeds.golden import agree
from tests.feeds.home_feed import SAMPLES, translated
from tests.feeds.judge import DK_CORE, judged_resources

NAMES = sorted(path.stem for path in SAMPLES.glob("*.json") if not path.name.endswith(".expected.json"))


def outcome(name: str) -> dict[str, Any]:
    translation = translated((SAMPLES / f"{name}.json").read_bytes())
    return {
        "resources": [change.resource for change in translation.changes],
        "rejected": [reason.as_json() for reason in translation.reasons],
        "notices": [{"code": notice.code, "at": notice.at} for notice in translation.notices],
    }


def test_there_are_samples():
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_becomes_what_its_golden_file_says_digit_for_digit(name):
    agree(SAMPLES / f"{name}.expected.json", outcome(name))


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_comes_of_a_sample_is_valid_r4(name):
    assert [issue for resource in outcome(name)["resources"] for issue in validate(resource)] == []


def test_an_independent_validator_finds_no_error_in_the_samples(tmp_path):
    """Base R4, and what meta.profile claims of DK Core."""
    made = [resource for name in NAMES for resource in outcome(name)["resources"]]
    assert judged_resources(made, tmp_path, DK_CORE) == []
