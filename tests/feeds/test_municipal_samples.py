"""Golden pairs of the municipal feed, and what independent validators of MedCom and DK Core say of both sides.

REWRITE_SAMPLES=1 writes the messages and the golden files anew.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.fhir import xml as fhirxml
from gateway.fhir.validate import validate
from gateway.formats import json
from tests.feeds.golden import REWRITE, agree, indented
from tests.feeds.judge import judged
from tests.feeds.municipal_feed import SAMPLES, translated
from tests.feeds.municipal_samples import messages

XML = "hospital-notification-stin-xml"
NAMES = [*messages(), XML]


def sample(name: str) -> bytes:
    return (SAMPLES / (f"{name}.xml" if name == XML else f"{name}.json")).read_bytes()


def outcome(name: str) -> dict[str, Any]:
    made = translated(sample(name))
    reply = made.reply or b"null"
    return {
        "resources": [change.resource for change in made.changes],
        "modes": [change.mode.value for change in made.changes],
        "rejected": [reason.as_json() for reason in made.reasons],
        "notices": [{"code": notice.code, "at": notice.at} for notice in made.notices],
        "reply": fhirxml.loads(reply) if made.reply_content_type.endswith("xml") else json.loads(reply),
    }


@pytest.fixture(scope="module", autouse=True)
def _rewritten():
    if REWRITE:
        for name, message in messages().items():
            (SAMPLES / f"{name}.json").write_bytes(indented(message))
        (SAMPLES / f"{XML}.xml").write_bytes(fhirxml.dumps(messages()["hospital-notification-stin"]))


@pytest.mark.parametrize("name", [name for name in NAMES if name != XML])
def test_a_sample_is_what_compose_makes_digit_for_digit(name):
    assert json.dumps(json.loads(sample(name))) == json.dumps(messages()[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_becomes_what_its_golden_file_says_digit_for_digit(name):
    agree(SAMPLES / f"{name}.expected.json", outcome(name))


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_comes_of_a_sample_is_valid_r4(name):
    made = outcome(name)
    assert made["rejected"] == []
    assert [issue for resource in [*made["resources"], made["reply"]] for issue in validate(resource)] == []


def test_the_messages_keep_the_medcom_guides_and_the_judge_would_see_if_not(tmp_path):
    wrong = messages()["hospital-notification-stin"]
    wrong["entry"][2]["resource"]["status"] = "arrived"
    for guide, stem in (("hospitalnotification-3.0.2", "hospital"), ("homecareobservation-1.2.1", "homecare")):
        folder = tmp_path / stem
        folder.mkdir()
        files = [(name, json.dumps(message)) for name, message in messages().items() if name.startswith(stem)]
        extra = [("wrong", json.dumps(wrong))] if stem == "hospital" else []
        found = judged([*files, *extra], folder, f"medcom.fhir.dk.{guide}")
        assert [line for line in found if not line.startswith("wrong.ndjson")] == []
        assert len(found) >= len(extra)


def test_the_resources_keep_dk_core_and_the_replies_the_acknowledgement_guide(tmp_path):
    made = {name: outcome(name) for name in NAMES}
    folders = {part: tmp_path / part for part in ("resources", "replies")}
    for folder in folders.values():
        folder.mkdir()
    resources = [(name, b"\n".join(map(json.dumps, one["resources"]))) for name, one in made.items()]
    replies = [(name, json.dumps(one["reply"])) for name, one in made.items()]
    assert judged(resources, folders["resources"], "hl7.fhir.dk.core-3.7.0") == []
    assert judged(replies, folders["replies"], "medcom.fhir.dk.acknowledgement-2.0.3") == []
