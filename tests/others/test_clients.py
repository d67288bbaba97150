"""FHIR clients that others wrote, doing what their users do: PyPI fhirpy and fhirclient, npm fhir-kit-client."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fhirclient import client as smart
from fhirclient.models import fhirdate, humanname, patient
from fhirclient.models import observation as fhirclient_observation
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

from tests.others.conftest import Api

NODE = Path(__file__).with_name("node")


@pytest.fixture
def fhirpy_client(api: Api) -> SyncFHIRClient:
    return SyncFHIRClient(api.base, authorization=api.headers["authorization"])


def test_fhirpy_saves_reads_changes_and_deletes(fhirpy_client: SyncFHIRClient) -> None:
    made = fhirpy_client.resource("Patient", name=[{"family": "Fhirpy", "given": ["Ole"]}], gender="other")
    made.save()
    assert made.id
    again = fhirpy_client.reference("Patient", made.id).to_resource()
    assert again.name[0].family == "Fhirpy"
    again["birthDate"] = "1970-01-02"
    again["active"] = True
    again.save()
    with pytest.raises(OperationOutcome):  # its patch is JSON Merge Patch, which R4 does not have
        again.patch(active=False)
    assert (
        fhirpy_client.resources("Patient").search(family="fhirpy", birthdate="1970-01-02").fetch_all()[0].active is True
    )
    again.delete()
    with pytest.raises((ResourceNotFound, OperationOutcome)):
        fhirpy_client.reference("Patient", made.id).to_resource()


def test_fhirpy_searches_includes_and_pages(fhirpy_client: SyncFHIRClient, ward: dict[str, Any]) -> None:
    observations = fhirpy_client.resources("Observation")
    panels = observations.search(code="http://loinc.org|85354-9").sort("-date", "_id").limit(5).fetch_all()
    assert len(panels) == 24
    assert [one.effectiveDateTime for one in panels] == sorted((one.effectiveDateTime for one in panels), reverse=True)
    bundle = observations.search(patient="Patient/ward-1").include("Observation", "patient").fetch_raw()
    assert {entry.resource.resource_type for entry in bundle.entry} == {"Observation", "Patient"}
    patients = fhirpy_client.resources("Patient")
    assert len(patients.search(**{"_has:Observation:patient:code": "8302-2"}).fetch_all()) == 12
    assert patients.search(family__contains="mit", _total="accurate").limit(1).fetch_raw()["total"] == 3


def test_fhirpy_gets_a_refusal_as_an_operation_outcome(fhirpy_client: SyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome) as refused:
        fhirpy_client.resource("Patient", gender="none of the four").save()
    assert "gender" in str(refused.value)


def test_fhirclient_searches_and_writes_with_its_own_models(api: Api, ward: dict[str, Any]) -> None:
    client = smart.FHIRClient(settings={"app_id": "test", "api_base": api.base})
    client.server.session.headers.update(api.headers)
    found = patient.Patient.where(struct={"family": "Smith", "_sort": "birthdate"}).perform_resources(client.server)
    assert [one.name[0].family for one in found] == ["Smith"] * 3
    one = patient.Patient.read("ward-0", client.server)
    assert one.birthDate.isostring == "1950-04-01"
    made = patient.Patient()
    made.name = [humanname.HumanName({"family": "Fhirclient"})]
    made.birthDate = fhirdate.FHIRDate("1980-02-29")
    assert made.create(client.server)["resourceType"] == "Patient"
    seen = fhirclient_observation.Observation.where(struct={"patient": "ward-2", "_include": "Observation:patient"})
    assert {type(entry).__name__ for entry in seen.perform_resources(client.server)} >= {"Observation"}


def test_fhir_kit_client_does_the_round(api: Api, ward: dict[str, Any], tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("NOT RUN: no node on this machine, the npm client fhir-kit-client is not tried")
    folder = tmp_path / "node"
    shutil.copytree(NODE, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "ci", "--silent", "--no-audit", "--no-fund"]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    if installed.returncode:
        pytest.skip(f"NOT RUN: fhir-kit-client cannot be installed here: {installed.stderr[-200:]}")
    ended = subprocess.run(
        [node, "round.mjs", api.base, api.token], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == {"steps": 14}
