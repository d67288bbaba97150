"""The municipal feed at the door, and what it answers: acknowledgements; what it tells of lineage and keeps to itself."""

from __future__ import annotations

import datetime as dt
import json as plain_json
from typing import Any

import pytest

from adapters.municipal_medcom import translate as municipal
from gateway.errors import Unprocessable
from gateway.fhir import xml as fhirxml
from gateway.formats import json
from gateway.model import Trace
from tests.feeds.municipal_feed import (
    RECEIVED,
    altered,
    drop,
    feed,
    only,
    part,
    put,
    refused,
    translated,
)
from tests.feeds.municipal_samples import CITIZEN, CPR, MORS, REPORT, STIN


def test_the_door_finds_person_and_control_id_in_json_and_in_xml_and_behind_a_byte_order_mark():
    written = json.dumps(STIN)
    shuffled = plain_json.dumps(STIN, sort_keys=True, indent=2).encode()
    for body in (written, shuffled, b"\xef\xbb\xbf" + written, b"\n " + written, fhirxml.dumps(STIN)):
        (piece,) = municipal.split(body, "application/octet-stream", feed())
        assert piece.person == CPR
        assert piece.control_id == STIN["entry"][0]["resource"]["id"]
        assert piece.body == body


def test_ndjson_is_cut_into_its_lines_and_a_bad_line_is_still_a_piece():
    body = b"\n".join([json.dumps(STIN), b"{nonsense", b"", json.dumps(REPORT)])
    pieces = municipal.split(body, "application/fhir+ndjson; charset=utf-8", feed())
    assert [piece.person for piece in pieces] == [CPR, None, CPR]
    assert b"\n".join(piece.body for piece in pieces) == body.replace(b"\n\n", b"\n")
    assert refused(translated(pieces[1].body)) == [("malformed", "line 1 column 2")]


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"MSH|^~\\&|", b"{", b"[1", b"<a>", b"<!DOCTYPE a><a/>", b"\xff\xfe{\x00}\x00", b'"x']
)
def test_a_body_that_is_neither_json_nor_xml_is_refused_at_the_door(body):
    for content_type in ("application/fhir+json", "application/fhir+xml"):
        with pytest.raises(Unprocessable):
            municipal.split(body, content_type, feed())


@pytest.mark.parametrize(
    "value", [{}, [], 7, {"entry": 7}, {"entry": [7, {}, {"resource": 7}, {"resource": {"resourceType": "Patient"}}]}]
)
def test_json_of_another_shape_is_written_down_before_it_is_understood(value):
    (piece,) = municipal.split(json.dumps(value), "application/json", feed())
    assert piece.person is None
    assert translated(piece.body).reasons


def test_a_cpr_number_written_with_a_hyphen_is_the_same_person():
    def hyphen(patient: dict[str, Any]) -> None:
        patient["identifier"][0]["value"] = f"{CITIZEN.cpr[:6]}-{CITIZEN.cpr[6:]}"

    message = altered(STIN, hyphen, "Patient")
    (piece,) = municipal.split(json.dumps(message), "application/fhir+json", feed())
    assert piece.person == CPR
    assert only(translated(message), "Patient")["identifier"][0]["value"] == CITIZEN.cpr


# ── acknowledgements ─────────────────────────────────────────────────────────────────────────────────────────────


def answer(body: bytes | None) -> dict[str, Any]:
    assert body is not None
    made = json.loads(body)
    assert isinstance(made, dict)
    return made


def test_a_message_taken_is_answered_ok_with_its_letter_and_not_its_envelope():
    made = translated(STIN)
    response = part(answer(made.reply), "MessageHeader")["response"]
    assert response == {"identifier": STIN["entry"][0]["resource"]["id"], "code": "ok"}
    assert (made.letter, made.envelope) == (response["identifier"], STIN["id"])
    assert [entry["resource"]["resourceType"] for entry in answer(made.reply)["entry"]].count("Provenance") == 2


def test_a_message_rejected_is_answered_with_the_reasons_and_nothing_of_the_person():
    made = translated(altered(STIN, put("arrived", "status"), "Encounter"))
    reply = answer(made.reply)
    assert part(reply, "MessageHeader")["response"]["code"] == "fatal-error"
    (issue,) = part(reply, "OperationOutcome")["issue"]
    assert issue["expression"] == ["Bundle.entry[2].resource.status"]
    assert issue["details"]["coding"][0]["code"] == "MSG_VALUESET_VALUE_UNKNOWN"
    assert CITIZEN.cpr.encode() not in (made.reply or b"")


@pytest.mark.parametrize("event", ["care-communication-message", "empty-message", "x" * 50, CITIZEN.cpr])
def test_another_type_is_answered_with_medcoms_code_for_it_and_its_name_is_not_repeated(event):
    made = translated(altered(STIN, put(event, "eventCoding", "code"), "MessageHeader"))
    assert refused(made) == [("unsupported-type", "Bundle.entry[0].resource.eventCoding")]
    issue = part(answer(made.reply), "OperationOutcome")["issue"][0]
    assert issue["details"]["coding"][0]["code"] == "MSG_RECEIVER_UNABLE_TO_RECEIVE_MSG_TYPE"
    assert made.message_type == (event if event.endswith("-message") else "unknown")


def test_an_envelope_used_again_around_another_letter_has_its_own_answer():
    made = translated(STIN)
    reply = answer(made.reply_reused)
    assert part(reply, "MessageHeader")["response"]["code"] == "fatal-error"
    assert part(reply, "OperationOutcome")["issue"][0]["code"] == "duplicate"
    assert reply["id"] != answer(made.reply)["id"]


def test_a_sender_of_xml_is_answered_in_xml_and_gets_the_same_resources():
    from_json, from_xml = translated(STIN), translated(fhirxml.dumps(STIN))
    assert from_xml.reply_content_type == "application/fhir+xml"
    assert fhirxml.loads(from_xml.reply or b"") == answer(from_json.reply)
    in_order = [
        sorted((change.resource for change in one.changes), key=lambda made: str(made["id"]))
        for one in (from_xml, from_json)
    ]
    assert in_order[0] == in_order[1]


def test_the_same_message_at_the_same_moment_gives_the_same_bytes_and_another_moment_the_same_resources():
    once, again = translated(REPORT), translated(REPORT)
    assert (once.reply, once.reply_reused, once.changes) == (again.reply, again.reply_reused, again.changes)
    later = translated(REPORT, received_at=RECEIVED + dt.timedelta(days=1))
    assert later.changes == once.changes


def test_an_acknowledgement_is_recorded_and_never_acknowledged():
    rejected = translated(altered(STIN, put("arrived", "status"), "Encounter"))
    made = translated(rejected.reply)
    assert made.reply is None
    assert made.reply_reused is None
    header = only(made, "MessageHeader")
    assert header["response"]["identifier"] == STIN["entry"][0]["resource"]["id"]
    assert header["response"]["details"] == {"reference": "#outcome"}
    assert header["contained"][0]["resourceType"] == "OperationOutcome"
    assert {change.lane for change in made.changes} == {None}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("MessageHeader", ("source",)),
        ("MessageHeader", ("destination", 0, "receiver")),
        ("Organization", ("identifier", 0)),
    ],
)
def test_a_message_that_could_not_be_acknowledged_is_not_taken(kind, path):
    made = translated(altered(STIN, drop(*path), kind))
    assert refused(made)
    assert made.reply is None


# ── lineage, secrets ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("message", [STIN, MORS, REPORT])
def test_every_element_has_its_line_of_lineage(message):
    trace = Trace()
    made = translated(message, trace=trace)
    for change in made.changes:
        reference = f"{change.resource['resourceType']}/{change.resource['id']}"
        told = {step.element.partition(".")[0].partition("[")[0] for step in trace.of(reference)}
        assert set(change.resource) - {"resourceType"} <= told, reference
    assert all(step.source.startswith("Bundle.entry[") for step in trace.steps)
    assert made.changes == translated(message).changes


def test_nothing_but_resources_and_bodies_carries_the_persons_number():
    made = translated(MORS)
    for change in made.changes:
        assert CITIZEN.cpr not in change.resource["id"]
    assert CITIZEN.cpr.encode() not in (made.reply or b"") + (made.reply_reused or b"")
    assert CITIZEN.cpr not in repr((made.reasons, made.notices, made.letter, made.envelope, made.message_type))


def test_a_name_that_is_a_persons_number_is_not_shown_as_a_place():
    made = translated(altered(STIN, put({"reference": "Nothing/x"}, CITIZEN.cpr), "MessageHeader"))
    assert refused(made)
    assert all(CITIZEN.cpr not in reason.at + reason.text for reason in made.reasons)
