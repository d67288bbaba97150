"""Every HL7 v2 message of the corpus: valid resources, or a reason that its sender would accept; never an exception."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.hospital_hl7v2 import translate as adapter
from gateway import errors
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import RejectionCode, Translation
from tests.corpus import SHARED
from tests.feeds import agreement
from tests.feeds.hospital import CONTEXT, corpus, translate
from tests.feeds.judge import judged_resources

SOURCES = (
    "cdc-data-exchange-hl7",
    "cdc-phdi",
    "cdc-prime-reportstream",
    "cdc-trusted-intermediary",
    "hapi-hl7v2",
    "hl7-v2-to-fhir-ig",
    "linuxforhealth-hl7v2-fhir-converter",
    "microsoft-fhir-converter",
    "nist-iz-test-cases",
    "oehf-ipf",
    "python-hl7",
)
TAKEN = ("ADT", "ORU")
pytestmark = pytest.mark.corpus


def files(source: str) -> list[Path]:
    return sorted(path for path in corpus(source).rglob("*") if path.suffix in (".hl7", ".hl7v2", ".txt"))


def messages(path: Path) -> Iterator[bytes]:
    """The messages of a file as a door cuts it; the whole file when the door refuses it."""
    body = path.read_bytes()
    try:
        yield from (piece.body for piece in adapter.split(body, "application/hl7-v2", CONTEXT.feed))
    except errors.Unprocessable:
        yield body


def outcome(done: Translation) -> str:
    if done.changes:
        return "translated, some rejected" if done.reasons else "translated"
    return done.reasons[0].code.value if done.reasons else "NOTHING"


@pytest.mark.parametrize("source", SOURCES)
def test_every_message_becomes_valid_resources_or_a_reason(source: str) -> None:
    read, table = 0, Counter[tuple[str, str]]()
    for path in files(source):
        for body in messages(path):
            read += 1
            done = translate(body)
            kind = done.message_type.partition("^")[0] or "(none)"
            table[kind, outcome(done)] += 1
            assert done.changes or done.reasons, f"{path.name}: neither resources nor a reason"
            assert all(reason.text and reason.at for reason in done.reasons), path.name
            if kind not in TAKEN and kind != "(none)":
                assert done.reasons[0].code in (RejectionCode.UNSUPPORTED_TYPE, RejectionCode.UNSUPPORTED_VERSION), (
                    path.name
                )
            for change in done.changes:
                assert validate(change.resource) == [], f"{path.name}: {change.resource['resourceType']}"
    assert read > 0
    print(f"\n{source}: {read} messages")
    for (kind, what), count in sorted(table.items()):
        print(f"    {kind:8} {what:28} {count}")


@pytest.mark.parametrize("source", SOURCES)
def test_the_door_and_the_translation_see_the_same_person_and_replay_gives_the_same_bytes(source: str) -> None:
    for path in files(source)[:60]:
        for body in messages(path):
            done = translate(body)
            patients = [change for change in done.changes if change.resource["resourceType"] == "Patient"]
            if patients:
                person = adapter.lane_person(body, CONTEXT.feed)
                assert person is not None, path.name
                assert CONTEXT.ids.lane(person) in {change.lane for change in patients}, path.name
                assert f"Patient/{CONTEXT.ids.patient(person)}" in {f"Patient/{p.resource['id']}" for p in patients}, (
                    path.name
                )
            again = translate(body)
            assert [json.dumps(change.resource) for change in done.changes] == [
                json.dumps(change.resource) for change in again.changes
            ]


def test_no_person_is_named_in_a_reason_or_a_notice() -> None:
    for source in SOURCES:
        for path in files(source):
            for body in messages(path):
                done = translate(body)
                told = " ".join(each.text for each in [*done.reasons, *done.notices])
                for change in done.changes:
                    if change.resource["resourceType"] == "Patient":
                        values = [number["value"] for number in change.resource.get("identifier", [])]
                        values += [name["family"] for name in change.resource.get("name", []) if "family" in name]
                        assert not [value for value in values if len(value) > 3 and value in told.split()], path.name


@pytest.mark.parametrize("source", agreement.SOURCES)
def test_we_agree_with_other_converters_on_what_counts(source: str) -> None:
    score = agreement.run(source, corpus(source))
    print("\n" + agreement.table({source: score}))
    assert score.messages > 10
    assert score.recall() >= 0.99
    for element in (
        "Patient.identifier",
        "Patient.name",
        "Patient.birthDate",
        "Patient.gender",
        "Observation.code",
        "Observation.value",
        "Observation.effective",
    ):
        assert score.recall(element) == 1.0, element
    assert score.recall("Observation.status") >= 0.99


def test_the_corpus_is_where_the_tests_look_for_it() -> None:
    if not (SHARED / "corpus").is_dir():
        pytest.skip(f"NOT RUN: there is no corpus on this machine ({SHARED})")
    assert sum(len(files(source)) for source in SOURCES) > 600


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.timeout(900)
def test_an_independent_validator_finds_no_error_in_what_becomes_of_them(tmp_path: Path) -> None:
    made = [
        change.resource
        for source in SOURCES
        for path in files(source)
        for body in messages(path)
        for change in translate(body).changes
    ]
    print(f"\n{len(made)} resources judged")
    assert judged_resources(made, tmp_path, seconds_max=850) == []
