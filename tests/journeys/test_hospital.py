"""What a hospital sends by MLLP becomes searchable, and goes out on the stream, in order, with its trace."""

from __future__ import annotations

import datetime as dt
import json as plain_json
from typing import Any

from gateway.formats import json
from gateway.model import Delivered
from tests.gateway import Gateway
from tests.messages import CPR, MORNING, Person, adt, hl7, nobody, oru, phone

PARTITIONS = 8


def headers(one: Delivered) -> dict[str, str]:
    return {name: value.decode() for name, value in one.record.headers}


def patient_of(gateway: Gateway, person: Person) -> dict[str, Any]:
    (found,) = [
        one
        for one in gateway.resources("Patient?_count=200&_sort=-_lastUpdated")
        if person.cpr in {identifier["value"] for identifier in one["identifier"]}
    ]
    return found


def stream(gateway: Gateway, *names: str) -> list[Delivered]:
    """Return the records of these resources (`Type/id`) on their topics."""
    topics = sorted({f"fhir.{name.partition('/')[0]}" for name in names})
    return [one for one in gateway.records(topics) if headers(one)["ce_subject"] in names]


def test_admission_and_discharge_become_a_patient_and_an_encounter(gateway: Gateway, person: Person) -> None:
    end = MORNING + dt.timedelta(hours=30)
    assert gateway.mllp_send(
        adt(person, f"h1-{person.cpr}", event="A01", visit=f"V{person.cpr}"),
        adt(person, f"h2-{person.cpr}", event="A03", visit=f"V{person.cpr}", at=end),
    ) == ["AA", "AA"]
    gateway.drained()
    patient = patient_of(gateway, person)
    assert patient["name"][0]["family"] == person.family
    assert {"system": CPR, "value": person.cpr}.items() <= patient["identifier"][0].items()
    (encounter,) = gateway.resources(f"Encounter?patient=Patient/{patient['id']}")
    assert encounter["status"] == "finished"
    assert encounter["period"]["start"] == "2025-03-29T08:00:00.000+01:00"
    assert encounter["period"]["end"] == "2025-03-30T14:00:00.000+02:00"  # summer time began in between
    history = gateway.bundle(f"Encounter/{encounter['id']}/_history")
    assert [entry["resource"]["status"] for entry in history["entry"]] == ["finished", "in-progress"]


def test_a_laboratory_result_is_found_by_its_patient_and_its_code(gateway: Gateway, person: Person) -> None:
    assert gateway.mllp_send(oru(person, f"lab-{person.cpr}", order=f"R{person.cpr}", value="7.40")) == ["AA"]
    gateway.drained()
    patient = patient_of(gateway, person)
    (haemoglobin,) = gateway.resources(f"Observation?patient=Patient/{patient['id']}&code=NPU02319")
    assert haemoglobin["subject"]["reference"] == f"Patient/{patient['id']}"
    raw = gateway.get(f"/fhir/Observation/{haemoglobin['id']}").content
    assert json.loads(raw)["valueQuantity"]["value"].as_tuple().exponent == -2  # 7.40 stays 7.40
    (report,) = gateway.resources(f"DiagnosticReport?patient=Patient/{patient['id']}")
    assert f"Observation/{haemoglobin['id']}" in {one["reference"] for one in report["result"]}


def test_every_message_has_a_provenance_that_names_what_it_made(gateway: Gateway, person: Person) -> None:
    answer = gateway.sent("hospital", oru(person, f"prov-{person.cpr}", order=f"P{person.cpr}"), "application/hl7-v2")
    assert answer["state"] == "stored"
    made = set(answer["resources"])
    assert {name.partition("/")[0] for name in made} >= {"Patient", "Observation", "DiagnosticReport"}
    report = next(name for name in made if name.startswith("DiagnosticReport/"))
    (provenance,) = gateway.resources(f"Provenance?target={report}")
    assert {one["reference"] for one in provenance["target"]} == made


def test_the_stream_tells_each_version_once_in_order_with_the_trace_of_its_message(
    gateway: Gateway, person: Person
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    order, later = f"S{person.cpr}", MORNING + dt.timedelta(hours=1)
    first = oru(person, f"s1-{person.cpr}", order=order, value="7.4")
    # the hour at which the blood was taken stays; the message that corrects it is later
    second = oru(person, f"s2-{person.cpr}", order=order, value="8.1").replace(
        hl7(MORNING).encode(), hl7(later).encode(), 1
    )
    answer = gateway.post("hospital", first, "application/hl7-v2", {"traceparent": trace})
    gateway.outcome(answer.json()["status"])
    gateway.sent("hospital", second, "application/hl7-v2")
    gateway.drained()
    patient = patient_of(gateway, person)
    (haemoglobin,) = gateway.resources(f"Observation?patient=Patient/{patient['id']}&code=NPU02319")
    name = f"Observation/{haemoglobin['id']}"
    records = stream(gateway, name)
    assert [headers(one)["ce_id"] for one in records] == [f"{name}/1", f"{name}/2"]
    assert len({one.position.partition for one in records}) == 1
    told = headers(records[0])
    assert told["traceparent"] == trace
    assert told["ce_specversion"] == "1.0"
    assert told["ce_type"] == "dk.sundbro.fhir.Observation.upserted.v1"
    assert told["ce_source"] == "/feeds/hospital"
    assert told["content-type"] == "application/fhir+json"
    assert told["causation"] == answer.json()["receipt"]
    partition, _, number = told["seq"].partition(":")
    assert int(partition) in range(PARTITIONS)
    assert int(number) > 0
    # the key is the lane: the same on the way in as on the way out, and nobody's number
    (raw, *_) = [one for one in gateway.records(["raw.hospital"]) if one.record.value == first]
    assert {one.record.key for one in records} == {raw.record.key}
    assert len(raw.record.key) == 32
    # the value is what the API answers, byte for byte
    assert records[1].record.value == gateway.get(f"/fhir/{name}").content
    assert records[0].record.value == gateway.get(f"/fhir/{name}/_history/1").content


def test_numbered_updates_of_a_patient_arrive_in_their_order(gateway: Gateway, person: Person) -> None:
    count = 40
    updates = [adt(person, f"n{n}-{person.cpr}", number=n, at=MORNING + dt.timedelta(seconds=n)) for n in range(count)]
    assert set(gateway.mllp_send(*updates)) == {"AA"}
    gateway.drained()
    patient = patient_of(gateway, person)
    told = [json.loads(one.record.value) for one in stream(gateway, f"Patient/{patient['id']}")]
    assert [one["telecom"][0]["value"] for one in told] == [phone(n) for n in range(count)]
    assert [one["meta"]["versionId"] for one in told] == [str(n + 1) for n in range(count)]


def test_the_same_message_again_is_acknowledged_again_and_stored_once(gateway: Gateway, person: Person) -> None:
    message = adt(person, f"d-{person.cpr}")
    gateway.drained()
    before = gateway.sums()["hospital"]
    assert gateway.mllp_send(message, message, message) == ["AA"] * 3
    gateway.drained()
    after = gateway.sums()["hospital"]
    assert after["duplicate"] - before["duplicate"] == 2
    assert after["stored"] - before["stored"] == 1
    assert after["difference"] == 0
    patient = patient_of(gateway, person)
    assert gateway.bundle(f"Patient/{patient['id']}/_history")["total"] == 1


def test_the_same_number_around_another_message_is_another_message(gateway: Gateway, person: Person) -> None:
    control = f"reused-{person.cpr}"
    messages = [adt(person, control, number=n, at=MORNING + dt.timedelta(seconds=n)) for n in range(2)]
    assert gateway.mllp_send(*messages) == ["AA"] * 2
    gateway.drained()
    patient = patient_of(gateway, person)
    assert patient["telecom"][0]["value"] == phone(1)
    assert gateway.bundle(f"Patient/{patient['id']}/_history")["total"] == 2


def test_a_message_about_nobody_is_taken_at_the_door_and_rejected_with_a_reason(gateway: Gateway) -> None:
    gateway.drained()
    before = gateway.sums()["hospital"]
    assert gateway.mllp_send(nobody("nobody-1")) == ["AA"]
    gateway.drained()
    after = gateway.sums()["hospital"]
    assert after["rejected"] - before["rejected"] == 1
    newest = gateway.lines("rejected", "hospital", "--count", "1")[0]
    assert newest["state"] == "rejected"
    assert newest["reasons"][0]["code"] == "identity-missing"
    assert newest["reasons"][0]["at"].startswith("PID")
    raw = gateway.command("rejected", "hospital", "--raw", newest["receipt"])
    assert raw.encode() == nobody("nobody-1").replace(b"\r", b"\n")  # text mode reads line ends as \n


def test_explain_leads_from_an_element_to_the_field_it_came_from(gateway: Gateway, person: Person) -> None:
    outcome = gateway.sent("hospital", oru(person, "explain-1", order=f"E{person.cpr}"), "application/hl7-v2")
    name = next(one for one in outcome["resources"] if one.startswith("Observation/"))
    told = plain_json.loads(gateway.command("explain", name, "--json"))
    assert told["resource"] == name
    value = next(line for line in told["lines"] if line["element"].startswith("valueQuantity"))
    assert value["source"].startswith("OBX")
    assert value["rule"]
    (message,) = told["messages"]
    assert value["raw"] == dict(zip(("topic", "partition", "offset"), _position(message["raw"]), strict=True))
    assert not told["lost"]
    assert "OBX" in gateway.command("explain", name)
    assert gateway.run("explain", "Observation/nobody").returncode == 2


def _position(raw: str) -> tuple[str, int, int]:
    topic, partition, offset = raw.split("/")
    return topic, int(partition), int(offset)
