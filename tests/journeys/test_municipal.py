"""MedCom messages are answered with acknowledgements, and the duplicate table of MedCom's governance holds."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from gateway.model import Delivered
from tests.gateway import Gateway
from tests.messages import Person, notification

FHIR = "application/fhir+json"


def acknowledgement(gateway: Gateway, body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send a message; return what became of it, and the MessageHeader of its acknowledgement."""
    outcome = gateway.sent("municipal", body, FHIR)
    answer = gateway.get(outcome["acknowledgement"])
    assert answer.headers["content-type"].startswith(FHIR)
    bundle = answer.json()
    assert bundle["type"] == "message"
    return outcome, bundle["entry"][0]["resource"]


def test_a_notification_is_stored_and_acknowledged(gateway: Gateway, person: Person) -> None:
    letter = str(uuid.uuid4())
    outcome, header = acknowledgement(gateway, notification(person, letter=letter))
    assert outcome["state"] == "stored"
    assert header["eventCoding"]["code"] == "acknowledgement-message"
    assert header["response"]["identifier"] == letter
    assert header["response"]["code"] == "ok"
    encounter = next(name for name in outcome["resources"] if name.startswith("Encounter/"))
    assert gateway.get(f"/fhir/{encounter}").json()["status"] == "in-progress"


def test_the_acknowledgement_goes_out_on_the_log_as_well(gateway: Gateway, person: Person) -> None:
    outcome, header = acknowledgement(gateway, notification(person))
    gateway.drained()
    sent: list[Delivered] = gateway.records(["reply.municipal"])
    bundles = [json.loads(one.record.value) for one in sent]
    assert header["id"] in {bundle["entry"][0]["resource"]["id"] for bundle in bundles}
    assert outcome["state"] == "stored"


@pytest.mark.parametrize("envelope", ["same", "new"])
def test_a_letter_seen_before_is_a_duplicate_and_acknowledged_the_same_way(
    gateway: Gateway, person: Person, envelope: str
) -> None:
    letter, first, episode = (str(uuid.uuid4()) for _ in range(3))
    second = first if envelope == "same" else str(uuid.uuid4())
    once, header = acknowledgement(gateway, notification(person, letter=letter, envelope=first, episode=episode))
    twice, again = acknowledgement(gateway, notification(person, letter=letter, envelope=second, episode=episode))
    assert (once["state"], twice["state"]) == ("stored", "duplicate")
    assert header["response"] == again["response"]
    encounter = next(name for name in once["resources"] if name.startswith("Encounter/"))
    assert gateway.bundle(f"{encounter}/_history")["total"] == 1


def test_a_known_envelope_around_a_new_letter_is_rejected_and_answered_so(gateway: Gateway, person: Person) -> None:
    envelope = str(uuid.uuid4())
    once, _ = acknowledgement(gateway, notification(person, envelope=envelope))
    reused, header = acknowledgement(gateway, notification(person, envelope=envelope))
    assert (once["state"], reused["state"]) == ("stored", "rejected")
    assert [reason["code"] for reason in reused["reasons"]] == ["envelope-reused"]
    assert header["response"]["code"] == "fatal-error"


def test_a_message_that_cannot_be_taken_is_answered_with_what_is_wrong(gateway: Gateway, person: Person) -> None:
    broken = notification(person).replace(b'"admit-inpatient"', b'"admit-nowhere"')
    outcome, header = acknowledgement(gateway, broken)
    assert outcome["state"] == "rejected"
    assert outcome["reasons"][0]["code"] == "code-unknown"
    assert header["response"]["code"] == "fatal-error"
