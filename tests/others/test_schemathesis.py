"""Schemathesis on the OpenAPI of this gateway: whatever the description allows, no answer is a 5xx.

The description is what a partner generates a client from; so what it says of statuses and content types is checked too.
"""

from __future__ import annotations

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.others.conftest import Api

EXAMPLES = 6


@pytest.fixture(scope="module")
def described(api: Api) -> schemathesis.BaseSchema:
    address = api.base.removesuffix("/fhir") + "/openapi.json"
    return schemathesis.openapi.from_url(address, headers=api.headers)


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_that_the_description_allows_ends_in_a_5xx(case: schemathesis.Case, api: Api) -> None:
    answer = case.call(headers=api.headers, timeout=30)
    assert answer.status_code < 500, (case.method, case.path, answer.text[:500])
    if answer.status_code >= 400 and "/fhir" in case.path:
        assert answer.headers["content-type"][0].startswith("application/fhir+json") or "json" in str(
            answer.headers["content-type"]
        )


def test_the_description_is_public_and_complete(api: Api) -> None:
    description = httpx.get(api.base.removesuffix("/fhir") + "/openapi.json", timeout=30).json()
    assert {"/fhir/{type}/{id}", "/fhir/{type}", "/fhir/metadata", "/fhir"} <= description["paths"].keys()
