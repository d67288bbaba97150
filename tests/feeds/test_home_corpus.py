"""Other people's messages on the home feed: none is a bug, what is made is valid, and the outcomes are counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from adapters.home_readings.translate import split
from gateway.errors import Unprocessable
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Resource
from tests.corpus import corpus_folder
from tests.feeds.home_feed import feed, translated
from tests.feeds.judge import DK_CORE, judged_resources

pytestmark = pytest.mark.corpus

SOURCES = {
    "kih-telecare-exporter": ["testdata/*.json"],
    "hl7-phd-ig": ["examples/*.json"],
    "dk-core": ["3.7.0/Observation-*.json", "3.7.0/Bundle-*.json", "3.7.0/Device-*.json"],
    "fut-ehealth": ["crud/*Observation*.json", "crud/*Device*.json", "transform-and-operations/*measurement*.json"],
    "jupyterhealth-exchange": ["data-points/*.json"],
    "openmhealth-schemas": ["test-data/omh/**/*.json"],
    "microsoft-iomt-fhir": ["device-messages/*.json"],
    "fhir-r4-examples": ["**/Observation-*.json"],
    "mii-kds-testdata": ["**/*.json"],
}
AT_LEAST = {"kih-telecare-exporter": 59, "hl7-phd-ig": 18, "dk-core": 24, "fhir-r4-examples": 29}
"""How many messages of a source give resources: less would be a step back."""


def files(source: str) -> list[Path]:
    folder = corpus_folder(source)
    return sorted({path for pattern in SOURCES[source] for path in folder.glob(pattern)})


def run(source: str) -> tuple[Counter[str], Counter[str], list[Resource]]:
    """Outcomes by message, reasons by code, and the resources made."""
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    made: list[Resource] = []
    for path in files(source):
        body = path.read_bytes()
        try:
            split(body, "application/json", feed())
        except Unprocessable:
            outcomes["refused at the door"] += 1
            continue
        translation = translated(body)
        state = "rejected" if not translation.changes else "in part" if translation.reasons else "stored"
        outcomes[state] += 1
        reasons.update(reason.code.value for reason in translation.reasons)
        assert translation.changes or translation.reasons, path.name
        made += [change.resource for change in translation.changes]
    return outcomes, reasons, made


@pytest.mark.parametrize("source", SOURCES)
def test_every_message_is_stored_or_refused_with_a_reason_and_what_is_made_is_valid(source, record_property):
    outcomes, reasons, made = run(source)
    record_property("outcomes", dict(outcomes))
    record_property("reasons", dict(reasons))
    print(f"{source}: {dict(outcomes)} {dict(reasons)}")
    assert [issue for resource in made for issue in validate(resource)] == []
    assert outcomes["stored"] + outcomes["in part"] >= AT_LEAST.get(source, 0)


def test_no_reason_and_no_text_repeats_a_persons_number():
    for path in files("kih-telecare-exporter"):
        document = json.loads(path.read_bytes())
        number = document.get("uniqueId")
        if number:
            translation = translated({"patient": document, "results": [{"type": "weight"}]})
            assert translation.reasons
            assert not any(number in reason.text + reason.at for reason in translation.reasons)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["kih-telecare-exporter", "hl7-phd-ig", "dk-core"])
def test_an_independent_validator_finds_no_error_in_what_is_made(source, tmp_path):
    assert judged_resources(run(source)[2], tmp_path, DK_CORE) == []
