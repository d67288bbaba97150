"""A real gateway's audit: what was answered was written down, whoever is killed; and the command says whether it still is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.audit.block import lines
from gateway.store.ledger import Block
from tests.gateway import Gateway
from tests.messages import People
from tests.told import told_about

BLOCKS = "select chain, first, upto, at, patients, hashes, events, personal from audit_block order by chain, first"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path, servers=2, audit_witness_file=tmp_path / "elsewhere" / "witness.jsonl") as running:
        yield running


def written(gateway: Gateway) -> dict[str, int]:
    """Return the X-Request-Ids on record, with the status that was answered."""
    found: dict[str, int] = {}
    for row in gateway.sql(BLOCKS):
        for line in lines(Block(**dict(row))):
            record = line.record()
            if record.trace:
                found[record.trace] = record.status
    return found


def put(gateway: Gateway, name: str) -> None:
    with gateway.client() as client:
        resource = {"resourceType": "Patient", "id": name, "active": True}
        assert client.put(f"/fhir/Patient/{name}", json=resource).status_code == 201


class Readers:
    """Reads without a break from so many connections; `answered` are the ids of requests that got an answer."""

    def __init__(self, gateway: Gateway, count: int) -> None:
        self.answered: dict[str, int] = {}
        self.stop = threading.Event()
        token = gateway.token()
        self.threads = [threading.Thread(target=self._read, args=(gateway.http, token, n)) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def _read(self, http: str, token: str, number: int) -> None:
        place = 0
        while not self.stop.is_set():
            try:
                with httpx.Client(base_url=f"http://{http}/fhir", timeout=5) as client:
                    while not self.stop.is_set():
                        place += 1
                        name = f"r-{number}-{place}"
                        headers = {"authorization": f"Bearer {token}", "x-request-id": name}
                        answer = client.get("/Patient/p1", headers=headers)
                        self.answered[name] = answer.status_code
            except httpx.HTTPError:
                self.stop.wait(0.05)

    def busy(self, answers: int) -> None:
        """Return when so many have been answered; on a slow machine that takes its time."""
        until = time.monotonic() + 60
        while len(self.answered) < answers and time.monotonic() < until:
            self.stop.wait(0.05)

    def end(self) -> dict[str, int]:
        self.stop.set()
        for thread in self.threads:
            thread.join()
        return self.answered


def test_what_was_answered_is_on_record_after_kills_of_gateway_and_database(gateway: Gateway) -> None:
    put(gateway, "p1")
    answered: dict[str, int] = {}
    for kill in (gateway.kill, gateway.kill_all):
        readers = Readers(gateway, 6)
        readers.busy(60)
        kill()
        threading.Event().wait(0.2)
        found = readers.end()
        gateway.start()
        there = written(gateway)
        missing = {name for name, status in found.items() if status == 200 and there.get(name) != 200}
        assert len([status for status in found.values() if status == 200]) > 20
        assert not missing
        answered |= found
    told = gateway.lines("audit", "verify")
    assert told[-1]["sound"], told


def test_two_processes_that_serve_write_a_chain_each(gateway: Gateway) -> None:
    put(gateway, "p1")
    until = time.monotonic() + 60
    while gateway.sql("select count(*) as n from audit_chain")[0]["n"] < 2:  # the second process takes its time
        assert gateway.get("/fhir/Patient/p1").status_code == 200
        assert time.monotonic() < until
    readers = Readers(gateway, 8)
    threading.Event().wait(1.0)
    found = readers.end()
    there = written(gateway)
    assert {*found} <= {*there}
    assert gateway.lines("audit", "verify")[-1]["sound"]


def test_the_command_verifies_proves_erases_and_names_what_was_tampered_with(gateway: Gateway, tmp_path: Path) -> None:
    put(gateway, "p1")
    for _ in range(20):
        assert gateway.get("/fhir/Patient/p1").status_code == 200
    gateway.stop()
    gateway.start()
    (told,) = gateway.lines("audit", "verify")
    assert told["sound"]
    assert told["records"] >= 22
    assert told["witness"] != "0 checkpoints"
    with gateway.client() as client:
        event = client.get("/fhir/AuditEvent?patient=p1&subtype=read").json()["entry"][0]["resource"]
    proof = json.loads(gateway.command("audit", "prove", event["id"]))
    assert proof["record"]["seq"] == int(event["id"].partition("-")[2])
    gateway.command("audit", "erase", event["id"])
    with gateway.client() as client:
        left = client.get(f"/fhir/AuditEvent/{event['id']}").json()
    assert "entity" not in left
    public = gateway.data / "audit" / "ledger-key.pem.pub"
    assert gateway.lines("audit", "verify", "--key", str(public))[-1]["sound"]
    chain, _, number = event["id"].partition("-")
    gateway.sql("alter table audit_block disable trigger user")
    gateway.sql("delete from audit_block where chain = $1 and first >= $2", int(chain), int(number))
    done = gateway.run("audit", "verify")
    assert done.returncode == 1
    finding = json.loads(done.stdout.splitlines()[0])
    assert (finding["wrong"], finding["chain"]) == ("cut", int(chain))


def test_while_the_ledger_cannot_be_written_nothing_is_shown(gateway: Gateway) -> None:
    put(gateway, "p1")
    gateway.sql("alter table audit_block add constraint full_disk check (false) not valid")
    answer = gateway.get("/fhir/Patient/p1")
    assert answer.status_code in {500, 503}
    assert "active" not in answer.text
    gateway.sql("alter table audit_block drop constraint full_disk")
    assert gateway.get("/fhir/Patient/p1").status_code == 200


def test_no_persons_number_in_the_ledger_the_logs_or_the_metrics(gateway: Gateway) -> None:
    people = People()
    person = people.one()
    with gateway.client() as client:
        client.get(f"/fhir/Patient?identifier={person.cpr}")
        client.post("/fhir/Patient/_search", data={"identifier": person.cpr})
        client.get(f"/fhir/Observation?patient.identifier=urn:oid:1.2.208.176.1.2|{person.cpr}")
    raw = b"".join(row["events"] + row["personal"] for row in gateway.sql(BLOCKS))
    assert person.cpr.encode() not in raw
    assert not told_about(people.all, gateway, [])
    text = gateway.metrics()
    assert "sundbro_audit_seconds_count" in text
