"""Schemathesis on the OpenAPI of this gateway: whatever the description allows, no answer is a 5xx.

The description is what a partner generates a client from; so what it says of statuses and content types is checked too.
"""

from __future__ import annotations

from collections import Counter

import httpx
import schemathesis
from hypothesis import HealthCheck, given, seed, settings

from gateway.search import parameters
from tests.others.conftest import Api

EXAMPLES = 4
TYPES = ("Patient", "Observation", "Encounter", "ValueSet", "Location")
"""Searches are described type by type, all alike: some stand for all."""


def test_nothing_that_the_description_allows_ends_in_a_5xx(api: Api) -> None:
    address = api.base.removesuffix("/fhir") + "/openapi.json"
    description = schemathesis.openapi.from_url(address, headers=api.headers)
    tried: Counter[str] = Counter()

    def tries(operation: schemathesis.schemas.APIOperation) -> None:
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @seed(1)
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            answer = case.call(headers=api.headers, timeout=30)
            assert answer.status_code < 500, (case.method, case.formatted_path, answer.text[:500])
            if answer.status_code >= 400 and case.path.startswith("/fhir"):
                assert answer.headers["content-type"][0].startswith("application/fhir+")
            tried[f"{operation.method} {operation.path}"] += 1

        ask()

    for found in description.get_all_operations():
        operation = found.ok()
        kind = operation.path.removeprefix("/fhir/")
        if operation.method == "get" and kind in parameters.types() and kind not in TYPES:
            continue
        tries(operation)
    print(f"{len(tried)} operations, {tried.total()} requests")
    assert len(tried) > 30


def test_the_description_is_public_and_complete(api: Api) -> None:
    description = httpx.get(api.base.removesuffix("/fhir") + "/openapi.json", timeout=30).json()
    assert {"/fhir/{type}/{id}", "/fhir/{type}", "/fhir/metadata", "/fhir"} <= description["paths"].keys()
