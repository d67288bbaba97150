"""mock.health's 36 published questions, on which five FHIR servers gave different answers, with the answer R4 wants.

The file is read where it stands beside the project (MIT); what R4 wants is stated here, with the page it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import yaml

from tests.corpus import corpus_folder
from tests.others.conftest import Api

pytestmark = pytest.mark.corpus
Wanted = Callable[[httpx.Response], None]
SAMPLES = {
    "patient_id": "ward-1",
    "patient_family": "Brun",
    "condition_code": "http://snomed.info/sct|38341003",
    "procedure_code": "http://snomed.info/sct|430193006",
    "practitioner_id": "nobody-has-this-id",
    "location_id": "nowhere-has-this-id",
}


def found(total: int | None = None, *, shown: int | None = None, types: set[str] | None = None) -> Wanted:
    """A searchset: `total` when it was asked for (R4 search, total: accurate), `shown` matches on the page."""

    def check(answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        assert bundle["resourceType"] == "Bundle"
        assert bundle["type"] == "searchset"
        matches = [entry for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"]
        if total is not None:
            assert bundle["total"] == total
        if shown is not None:
            assert len(matches) == shown
        if types is not None:
            assert {entry["resource"]["resourceType"] for entry in bundle.get("entry", [])} == types

    return check


def refused(*statuses: int, code: str = "") -> Wanted:
    """An OperationOutcome with one of these statuses."""

    def check(answer: httpx.Response) -> None:
        assert answer.status_code in statuses, answer.text
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert not code or answer.json()["issue"][0]["code"] == code

    return check


def capable(answer: httpx.Response) -> None:
    statement = answer.json()
    assert statement["resourceType"] == "CapabilityStatement"
    assert statement["fhirVersion"] == "4.0.1"
    assert {"status", "date", "kind", "format", "software", "implementation"} <= statement.keys()


def history(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.json()["type"] == "history"
    assert len(answer.json()["entry"]) == 1
    assert {"request", "response"} <= answer.json()["entry"][0].keys()


def read(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.json()["id"] == "ward-1"
    assert answer.headers["etag"] == 'W/"1"'


def known(answer: httpx.Response) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.json()["resourceType"] == "Parameters"
    assert {"name", "display"} <= {parameter["name"] for parameter in answer.json()["parameter"]}


WANTED: dict[str, Wanted] = {
    "capability_statement": capable,
    "observation_search_default": found(shown=10),
    "observation_search_total_accurate": found(shown=1),
    "q7_error_unsupported_param": refused(400),
    # R4 Observation: `code` is the code of the whole; a component's is `component-code`, either is `combo-code`
    "observation_by_code": found(0, shown=0),
    "q1_uscore_observation_combo": found(24, shown=1),
    "patient_by_gender": found(4, shown=4),
    "patient_by_family_prefix": found(shown=5),
    "patient_by_given_prefix": found(shown=5),
    "patient_by_gender_family": found(shown=4),
    "observation_by_height": found(12, shown=5),
    "observation_by_weight": found(12, shown=5),
    "observation_by_pain": found(0, shown=0),
    "observation_recent": found(shown=5),
    "q2_history_type": history,
    # terminology that is not loaded is not guessed at: not found, told as such
    "q6_expand_valueset": refused(404, 422),
    # the codes that the feeds use are known without LOINC itself
    "q6_lookup_loinc": known,
    "patient_revinclude_wildcard": found(shown=5, types={"Patient", "Condition", "Observation"}),
    "patient_read_by_id": read,
    "patient_by_family_exact": found(shown=3),
    "observations_for_patient": found(shown=4),
    "conditions_for_patient": found(shown=1),
    "condition_by_code": found(shown=5),
    "procedure_by_code": found(shown=0),
    "encounter_by_patient": found(shown=0),
    "medication_request_by_patient": found(shown=0),
    "encounter_by_practitioner": found(shown=0),
    "encounter_by_location": found(shown=0),
    "patient_content_search": found(shown=3),
    "observation_content_search": found(shown=0),
    "condition_content_search": found(shown=0),
    "patient_name_text_modifier": found(shown=0),
    "patient_address_text_modifier": found(shown=0),
    "patient_text_narrative": found(shown=0),
    "condition_code_text_modifier": found(shown=0),
}
NOT_APPLICABLE = {"patient_export": "bulk export comes with the research platform"}


def queries() -> list[dict[str, Any]]:
    path = corpus_folder("mock-health-conformance") / "config" / "queries.yaml"
    return list(yaml.safe_load(path.read_text("utf-8"))["queries"])


def test_every_published_question_has_an_answer_here() -> None:
    assert {query["name"] for query in queries()} == {*WANTED, *NOT_APPLICABLE}


@pytest.mark.parametrize("name", WANTED)
def test_question(api: Api, ward: dict[str, Any], name: str) -> None:
    query = next(query for query in queries() if query["name"] == name)
    filled = {place: SAMPLES[pool] for place, pool in query.get("sample", {}).items()}

    def fill(text: str) -> str:
        for place, value in filled.items():
            text = text.replace("{{" + place + "}}", value)
        return text

    parameters = {key: fill(str(value)) for key, value in query.get("params", {}).items()}
    with api.client() as client:
        WANTED[name](client.get("/" + fill(query["path"]), params=parameters, headers=query.get("headers", {})))
