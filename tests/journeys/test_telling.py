"""One message can be followed by its trace from door to stream, and nothing that the gateway tells names a person."""

from __future__ import annotations

import json
import secrets
import time

import httpx

from tests.gateway import Gateway
from tests.messages import CPR, Person, adt, nobody, notification, reading
from tests.otlp import Collector
from tests.told import told_about

SPAN_SECONDS_MAX = 30


def test_one_trace_holds_the_whole_way_of_a_message(gateway: Gateway, person: Person, collector: Collector) -> None:
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"traceparent": f"00-{trace}-{parent}-01"}
    answer = gateway.post("home", json.dumps(reading(person)).encode(), headers=headers)
    gateway.outcome(answer.json()["status"])
    until = time.monotonic() + SPAN_SECONDS_MAX
    while {span.name for span in collector.of(trace)} != {"receive", "translate", "store", "publish"}:
        assert time.monotonic() < until, [span.name for span in collector.of(trace)]
        time.sleep(0.05)
    assert {span.parent_span_id.hex() for span in collector.of(trace)} == {parent}
    published = {
        attribute.value.string_value
        for span in collector.of(trace)
        if span.name == "publish"
        for attribute in span.attributes
        if attribute.key == "messaging.destination.name"
    }
    assert published == {"fhir.Observation", "fhir.Patient", "fhir.Provenance"}


def test_a_message_that_its_sender_does_not_trace_makes_no_span(
    gateway: Gateway, person: Person, collector: Collector
) -> None:
    trace = secrets.token_hex(16)
    answer = gateway.post(
        "home", json.dumps(reading(person)).encode(), headers={"traceparent": f"00-{trace}-{secrets.token_hex(8)}-00"}
    )
    gateway.outcome(answer.json()["status"])
    gateway.drained()
    assert not collector.of(trace)


def test_metrics_count_what_went_in_and_came_out(gateway: Gateway, person: Person) -> None:
    gateway.sent("home", json.dumps(reading(person)).encode())
    gateway.drained()
    told = gateway.metrics()
    for name in ("received_total", "translated_total", "stored_total"):
        (line,) = [
            each for each in told.splitlines() if each.startswith(f"sundbro_messages_{name}{{") and '"home"' in each
        ]
        assert float(line.rpartition(" ")[2]) >= 1
    assert 'sundbro_published_total{topic="fhir.Observation"}' in told
    assert "sundbro_visible_seconds_bucket" in told


def test_no_person_is_named_in_logs_metrics_or_traces_whatever_is_sent_and_asked(
    gateway: Gateway, person: Person, collector: Collector
) -> None:
    cpr = person.cpr
    trace = {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}
    impossible = "3113" + cpr[4:]
    bodies = (
        (f'{{"type":"pulse","patient":{{"cpr":"{cpr}"}},"measurement":{{"unit":"{cpr}","value":"{cpr}"}}}}', "home"),
        (json.dumps(reading(person)).replace(cpr, impossible), "home"),
        (f'{{"cpr":"{cpr}"', "home"),  # not JSON
        (f'{{"resourceType":"Bundle","id":"{cpr}","type":"message"}}', "municipal"),
    )
    for body, feed in bodies:
        gateway.post(feed, body.encode(), headers=trace)
    gateway.post("municipal", notification(person).replace(b'"IMP"', f'"{cpr}"'.encode()), headers=trace)
    gateway.mllp_send(adt(person, cpr), nobody(cpr).replace(b"Ukendt", cpr.encode()), b"MSH|^~\\&|" + cpr.encode())
    with gateway.client() as client, httpx.Client(base_url=f"http://{gateway.http}") as anonymous:
        for address in (
            f"/fhir/Patient?identifier={CPR}|{cpr}",
            f"/fhir/Patient?{cpr}={cpr}",
            f"/fhir/{cpr}",
            f"/fhir/Observation?patient={cpr}&date={cpr}",
            f"/ingest/{cpr}",
            f"/ingest/home/receipts/{cpr}",
        ):
            client.get(address)
            anonymous.get(address, headers={"authorization": f"Bearer {cpr}"})
    gateway.drained()
    gateway.metrics()
    for people in ([person], [type(person)(impossible, person.family)]):
        assert not told_about(people, gateway, collector.bodies)
