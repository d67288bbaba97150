"""The stored form of a resource: where it begins, what the stamp adds, what the digest sees."""

from __future__ import annotations

import datetime as dt
import json as standard
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import instant
from gateway.errors import Incorrect
from gateway.fhir import body
from gateway.formats import json

RESOURCES = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["final", '"meta":{', "æøå"]),
        "resourceType": st.just("Observation"),
        "valueQuantity": st.just({"value": Decimal("1.20")}),
        "id": st.from_regex(r"\A[A-Za-z0-9\-.]{1,64}\Z"),
    },
    optional={
        "meta": st.fixed_dictionaries(
            {},
            optional={
                "versionId": st.just("9"),
                "_lastUpdated": st.just({"id": "x"}),
                "lastUpdated": st.just("2026-01-01T00:00:00Z"),
                "source": st.just("urn:x"),
                "profile": st.just(["http://example.org/p"]),
            },
        ),
        "contained": st.just([{"resourceType": "Device", "id": "d", "meta": {"source": "y"}}]),
    },
).flatmap(lambda made: st.permutations(list(made.items())).map(dict))


@given(RESOURCES)
def test_a_body_begins_with_type_id_and_meta_and_keeps_the_rest_in_order(resource):
    before = standard.dumps(resource, default=str)
    made = body.prepare(resource)
    assert made.startswith(f'{{"resourceType":"Observation","id":"{resource["id"]}","meta":{{'.encode())
    read = json.loads(made)
    rest = [name for name in resource if name not in {"resourceType", "id", "meta"}]
    assert list(read) == ["resourceType", "id", "meta", *rest]
    assert all(read[name] == resource[name] for name in rest)
    assert standard.dumps(resource, default=str) == before


@given(RESOURCES, st.integers(1, 10**9))
def test_a_stamp_adds_version_and_time_and_nothing_else(resource, version):
    when = instant(dt.datetime(2026, 10, 25, 2, 30, 0, 1999, tzinfo=dt.UTC))
    made = body.prepare(resource)
    served = json.loads(body.stamped(made, version, when))
    assert list(served["meta"])[:2] == ["versionId", "lastUpdated"]
    assert served["meta"]["versionId"] == str(version)
    assert served["meta"]["lastUpdated"] == when == "2026-10-25T02:30:00.001Z"
    assert body.prepare(served) == made


def test_a_body_without_meta_has_an_empty_one():
    made = body.prepare({"id": "a", "resourceType": "Patient", "active": True})
    assert made == b'{"resourceType":"Patient","id":"a","meta":{},"active":true}'
    assert body.stamped(made, 1, "2026-01-01T00:00:00.000Z") == (
        b'{"resourceType":"Patient","id":"a","meta":{"versionId":"1","lastUpdated":"2026-01-01T00:00:00.000Z"},"active":true}'
    )


def test_the_digest_tells_a_changed_precision_and_not_a_changed_version():
    resource = {"resourceType": "Observation", "id": "a", "valueQuantity": {"value": Decimal("1.2")}}
    digest = body.content_digest(body.prepare(resource))
    assert len(digest) == 16
    assert digest == body.content_digest(body.prepare({**resource, "meta": {"versionId": "4"}}))
    resource["valueQuantity"] = {"value": Decimal("1.20")}
    assert digest != body.content_digest(body.prepare(resource))


@pytest.mark.parametrize(
    ("resource", "at"),
    [
        ({"id": "a"}, "resourceType"),
        ({"resourceType": "Patient"}, "Patient.id"),
        ({"resourceType": "Patient", "id": 'a","meta":{'}, "Patient.id"),
        ({"resourceType": "Patient", "id": "a\n"}, "Patient.id"),
        ({"resourceType": "Patient", "id": "a", "meta": []}, "Patient.meta"),
    ],
)
def test_a_resource_that_cannot_be_addressed_is_refused(resource, at):
    with pytest.raises(Incorrect) as refusal:
        body.prepare(resource)
    assert refusal.value.at == at
