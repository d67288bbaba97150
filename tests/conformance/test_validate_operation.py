"""`$validate` as a request: its parameters, its modes, its answer. On a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway import errors
from gateway.access import Actor, NotPermitted
from gateway.access.scopes import parse
from gateway.formats import json
from gateway.serve import validating
from gateway.serve.asking import Asking
from gateway.serve.permitted import PermittedStore
from gateway.serve.routes import TABLE, Matched
from tests.conformance.fixtures import DK_PATIENT, FOLDER
from tests.journeys.fhir_server import FhirServer, serving

PATIENT: dict[str, Any] = {"resourceType": "Patient", "name": [{"use": "official", "family": "Berg"}]}
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FhirServer]:
    with serving(tmp_path_factory.mktemp("validate")) as running:
        running.put({**PATIENT, "id": "known", "gender": "female"})
        running.put({**PATIENT, "id": "gone"}, deleted=True)
        yield running


@pytest.fixture(scope="module")
def ask(server: FhirServer) -> Ask:
    handler = validating.ValidateHandler(PermittedStore(server.store), FOLDER)

    def asked(
        body: Any = None,
        pairs: tuple[tuple[str, str], ...] = (),
        kind: str = "Patient",
        logical_id: str = "",
        scope: str = "*.r",
    ) -> dict[str, Any]:
        asking = Asking(
            Matched(TABLE[0], kind, logical_id),
            {b"content-type": b"application/fhir+json"},
            list(pairs),
            body=b"" if body is None else json.dumps(body),
        )
        answer = server.run(handler(Actor("tester", parse([f"system/{scope}"])), asking))
        assert answer.status == 200
        told: dict[str, Any] = json.loads(answer.resource)
        assert told["resourceType"] == "OperationOutcome"
        return told

    return asked


def errors_of(outcome: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["expression"][0], one["details"]["text"]) for one in outcome["issue"] if one["severity"] == "error"]


def parameters(**given: Any) -> dict[str, Any]:
    listed = [
        {"name": name, "resource" if name == "resource" else "valueCode" if name == "mode" else "valueUri": value}
        for name, value in given.items()
    ]
    return {"resourceType": "Parameters", "parameter": listed}


def test_a_resource_or_a_parameters_resource_is_checked_against_what_is_asked(ask: Ask) -> None:
    lacking = [("Patient.identifier", "min")]
    assert errors_of(ask(PATIENT)) == []
    assert errors_of(ask(PATIENT, (("profile", DK_PATIENT),))) == lacking
    assert errors_of(ask(parameters(resource=PATIENT, profile=DK_PATIENT))) == lacking
    assert errors_of(ask(parameters(resource=PATIENT, mode="profile", profile=DK_PATIENT))) == lacking
    assert errors_of(ask(parameters(resource=PATIENT, profile="https://sundbro.example/none"))) == [
        ("Patient", "profile-unknown")
    ]


def test_every_issue_has_its_place_its_rule_and_the_profile_that_asks_for_it(ask: Ask) -> None:
    found = [
        one for one in ask(parameters(resource=PATIENT, profile=DK_PATIENT))["issue"] if one["severity"] == "error"
    ]
    assert [one["code"] for one in found] == ["required"]
    assert found[0]["extension"][0]["valueString"] == DK_PATIENT
    assert found[0]["diagnostics"]


def test_an_instance_is_checked_as_it_is_stored_and_modes_ask_for_what_they_need(ask: Ask) -> None:
    assert errors_of(ask(logical_id="known")) == []
    assert errors_of(ask(logical_id="known", pairs=(("profile", DK_PATIENT),))) == [("Patient.identifier", "min")]
    assert errors_of(ask(logical_id="known", pairs=(("mode", "delete"),))) == []
    assert errors_of(ask(parameters(resource=PATIENT, mode="update"))) == [("Patient.id", "update-id")]
    assert errors_of(ask({**PATIENT, "id": "other"}, logical_id="known")) == [("Patient.id", "address-id")]
    assert errors_of(ask({**PATIENT, "id": "known"}, logical_id="known")) == []
    assert ("Observation", "address-type") in errors_of(ask(PATIENT, kind="Observation"))


def test_a_parameters_resource_is_itself_checked_where_parameters_are_asked_about(ask: Ask) -> None:
    own = {"resourceType": "Parameters", "parameter": [{"name": "any"}]}
    assert errors_of(ask(own, kind="Parameters")) == [("Parameters.parameter[0]", "inv-1")]


def test_with_nothing_wrong_there_is_one_issue_that_says_so(ask: Ask) -> None:
    narrated = {**PATIENT, "text": {"status": "empty", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Berg</div>'}}
    assert [one["code"] for one in ask(narrated)["issue"]] == ["informational"]


@pytest.mark.parametrize(
    ("body", "pairs", "error"),
    [
        (None, (), errors.Incorrect),
        (parameters(mode="create"), (), errors.Incorrect),
        (parameters(resource=PATIENT, mode="replace"), (), errors.Incorrect),
        (parameters(resource=PATIENT, mode="profile"), (), errors.Incorrect),
        (parameters(resource=PATIENT, other="x"), (), errors.Incorrect),
        (
            {**parameters(resource=PATIENT), "parameter": parameters(resource=PATIENT)["parameter"] * 2},
            (),
            errors.Incorrect,
        ),
        (PATIENT, (("mode", "delete"),), errors.Incorrect),
        (PATIENT, (("colour", "red"),), errors.Incorrect),
        ([], (), errors.Incorrect),
    ],
)
def test_what_cannot_be_understood_is_refused(ask: Ask, body: Any, pairs: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(body, pairs)


def test_what_is_not_there_and_what_may_not_be_seen(ask: Ask) -> None:
    with pytest.raises(errors.NotFound):
        ask(logical_id="none")
    with pytest.raises(errors.Gone):
        ask(logical_id="gone")
    with pytest.raises(NotPermitted):
        ask(PATIENT, scope="Observation.r")


def test_a_resource_of_any_shape_gets_an_answer(ask: Ask) -> None:
    for body in ({}, {"resourceType": 7}, {"resourceType": "Chicken"}, {"resourceType": "Patient", "name": "x"}):
        assert errors_of(ask(body))
