"""$everything, $lastn, $meta, $meta-add, $meta-delete and $process-message on a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.access import Actor
from gateway.formats import json
from gateway.model import Reason, RejectionCode, Resource
from gateway.search import parse
from gateway.serve.operations.process_message import Delivered
from tests.contracts.operations import BASE, Desk, days, desk, ids, parameters, value
from tests.contracts.stores import Database


@pytest.fixture
async def asked(database: Database) -> AsyncIterator[Desk]:
    async with desk(database.url) as opened:
        yield opened


def patient(name: str) -> Resource:
    return {"resourceType": "Patient", "id": name, "managingOrganization": {"reference": "Organization/home"}}


def observation(name: str, of: str = "p", *, code: str = "8867-4", day: int = 0, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{of}"},
        "effectiveDateTime": days(day),
        **more,
    }


RECORD = [
    patient("p"),
    patient("q"),
    {"resourceType": "Organization", "id": "home", "name": "Home"},
    {"resourceType": "Practitioner", "id": "doctor"},
    {"resourceType": "Practitioner", "id": "stranger"},
    {"resourceType": "Location", "id": "ward"},
    {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p"},
        "period": {"start": days(3), "end": days(4)},
        "location": [{"location": {"reference": "Location/ward"}}],
    },
    {
        "resourceType": "AllergyIntolerance",
        "id": "nuts",
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        },
        "patient": {"reference": "Patient/p"},
        "asserter": {"reference": "Patient/p"},
        "recorder": {"reference": "Practitioner/doctor"},
        "recordedDate": days(1),
    },
    observation("pulse1", day=1, performer=[{"reference": "Practitioner/doctor"}]),
    observation("pulse2", day=3, encounter={"reference": "Encounter/visit"}),
    observation("pulse3", day=9),
    observation("other", "q", performer=[{"reference": "Practitioner/stranger"}]),
]
COMPARTMENT = {
    "Patient/p", "Encounter/visit", "AllergyIntolerance/nuts",
    "Observation/pulse1", "Observation/pulse2", "Observation/pulse3",
}  # fmt: skip
BESIDE = {"Organization/home", "Practitioner/doctor", "Location/ward"}


async def walked(asked: Desk, address: str, *pairs: tuple[str, str], **more: Any) -> list[str]:
    """All pages of a question, each entry by Type/id in the order it came."""
    found: list[str] = []
    for _ in range(50):
        status, bundle = await asked.ask(address, *pairs, **more)
        assert status == 200, bundle
        found += ids(bundle)
        link = {one["relation"]: one["url"] for one in bundle["link"]}
        if "next" not in link:
            return found
        own, _, token = link["next"].partition("?_page=")
        assert own == f"{BASE}/{address}"
        pairs = (("_page", token),)
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("count", ["1", "2", "3", "5", "100"])
async def test_everything_of_a_patient_comes_once_whatever_the_page(asked: Desk, count: str) -> None:
    await asked.put(*RECORD)
    found = await walked(asked, "Patient/p/$everything", ("_count", count))
    assert sorted(found) == sorted(COMPARTMENT | BESIDE)


async def test_what_is_beside_the_compartment_is_marked_as_included(asked: Desk) -> None:
    await asked.put(*RECORD)
    _, bundle = await asked.ask("Patient/p/$everything")
    assert ids(bundle)[0] == "Patient/p"
    assert set(ids(bundle, "match")) == COMPARTMENT
    assert set(ids(bundle, "include")) == BESIDE


async def test_everything_within_care_dates_types_and_updates(asked: Desk) -> None:
    await asked.put(*RECORD)
    dated = await walked(asked, "Patient/p/$everything", ("start", days(2)), ("end", days(5)))
    assert set(dated) & COMPARTMENT == {"Patient/p", "Encounter/visit", "AllergyIntolerance/nuts", "Observation/pulse2"}
    typed = await walked(asked, "Patient/p/$everything", ("_type", "Observation,Practitioner"))
    assert set(typed) == {"Observation/pulse1", "Observation/pulse2", "Observation/pulse3", "Practitioner/doctor"}
    _, bundle = await asked.ask("Patient/p/$everything")
    moment = max(entry["resource"]["meta"]["lastUpdated"] for entry in bundle["entry"])
    await asked.put(observation("pulse3", day=10))
    assert await walked(asked, "Patient/p/$everything", ("_since", moment)) == ["Observation/pulse3"]


@pytest.mark.parametrize(
    "bounds", [("2024-03", ""), ("", "2024-02"), ("2024-03", "2024-03"), ("2024-03-02", "2024-03-02")]
)
async def test_what_lasted_into_the_care_dates_is_within_them(asked: Desk, bounds: tuple[str, str]) -> None:
    period = {"start": "2024-02-28T10:00:00+01:00", "end": "2024-03-02T10:00:00+01:00"}
    visit = next(one for one in RECORD if one["resourceType"] == "Encounter")
    await asked.put(*RECORD, {**visit, "id": "long", "period": period})
    given = [(name, bound) for name, bound in zip(("start", "end"), bounds, strict=True) if bound]
    assert "Encounter/long" in await walked(asked, "Patient/p/$everything", *given)
    for outside in (("start", "2024-03-03"), ("start", "2024-04"), ("end", "2024-02-27"), ("end", "2023")):
        assert "Encounter/long" not in await walked(asked, "Patient/p/$everything", outside)


async def test_everything_shows_no_type_that_the_caller_may_not_see(asked: Desk) -> None:
    await asked.put(*RECORD)
    few = ("system/Patient.rs", "system/Observation.rs", "system/Organization.r")
    found = await walked(asked, "Patient/p/$everything", scopes=few)
    assert {one.partition("/")[0] for one in found} == {"Patient", "Observation", "Organization"}
    status, _ = await asked.ask("Patient/p/$everything", scopes=("system/Observation.rs",))
    assert status == 403


async def test_everything_of_an_encounter_has_its_patient_and_observations(asked: Desk) -> None:
    await asked.put(*RECORD)
    for count in ("1", "100"):
        found = await walked(asked, "Encounter/visit/$everything", ("_count", count))
        assert sorted(found) == ["Encounter/visit", "Location/ward", "Observation/pulse2", "Patient/p"]


async def test_everything_refuses_what_it_does_not_know(asked: Desk) -> None:
    await asked.put(*RECORD)
    for pairs, status in (
        ([("_type", "Nothing")], 400),
        ([("start", "soon")], 400),
        ([("_count", "0")], 400),
        ([("_since", "2024")], 200),
        ([("colour", "red")], 400),
        ([("_page", "nonsense")], 400),
    ):
        answered, _ = await asked.ask("Patient/p/$everything", *pairs)
        assert answered == status, pairs
    assert (await asked.ask("Patient/nobody/$everything"))[0] == 404


async def test_pages_stand_still_while_others_write(asked: Desk) -> None:
    await asked.put(*RECORD)
    _, first = await asked.ask("Patient/p/$everything", ("_count", "2"), ("_type", "Observation"))
    await asked.put(observation("late", day=20), observation("early", day=0))
    token = next(one["url"] for one in first["link"] if one["relation"] == "next").partition("_page=")[2]
    rest = await walked(asked, "Patient/p/$everything", ("_page", token))
    assert sorted(ids(first) + rest) == ["Observation/pulse1", "Observation/pulse2", "Observation/pulse3"]


async def test_lastn_gives_the_newest_of_each_code(asked: Desk) -> None:
    both = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}, {"system": "urn:x", "code": "puls"}]}
    await asked.put(
        *RECORD,
        observation("weight1", code="29463-7", day=2),
        observation("weight2", code="29463-7", day=8),
        {**observation("pulse4", day=20), "code": both},
    )
    _, one = await asked.ask("Observation/$lastn", ("patient", "Patient/p"))
    assert ids(one) == ["Observation/pulse4", "Observation/weight2"]
    _, two = await asked.ask("Observation/$lastn", ("subject", "Patient/p"), ("max", "2"))
    assert ids(two) == ["Observation/pulse4", "Observation/pulse3", "Observation/weight2", "Observation/weight1"]
    _, coded = await asked.ask("Observation/$lastn", ("patient", "p"), ("code", "29463-7"), ("max", "1"))
    assert ids(coded) == ["Observation/weight2"]
    posted = parameters(patient__valueString="Patient/p", max__valuePositiveInt=1)
    _, same = await asked.ask("Observation/$lastn", body=posted)
    assert ids(same) == ids(one)


@pytest.mark.parametrize(
    "pairs",
    [
        [("max", "1")],
        [("patient", "p"), ("max", "0")],
        [("patient", "p"), ("_sort", "date")],
        [("patient", "p"), ("x", "y")],
    ],
)
async def test_lastn_refuses_what_it_cannot_do(asked: Desk, pairs: list[tuple[str, str]]) -> None:
    assert (await asked.ask("Observation/$lastn", *pairs))[0] == 400


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (
            parameters(max__valuePositiveInt=1, patient__valueReference={"reference": "Patient/p"}),
            "Parameters.parameter[1]",
        ),
        ({"resourceType": "Patient"}, "resourceType"),
    ],
)
async def test_lastn_says_which_parameter_it_does_not_understand(asked: Desk, body: Resource, place: str) -> None:
    status, refused = await asked.ask("Observation/$lastn", body=body)
    assert (status, refused["issue"][0]["expression"]) == (400, [place])


async def test_labels_are_added_and_taken_off_once(asked: Desk) -> None:
    await asked.put(*RECORD)
    tag = {"system": "http://example.org", "code": "seen"}
    sent = parameters(meta__valueMeta={"tag": [tag], "profile": ["http://example.org/profile"]})
    status, added = await asked.ask("Observation/pulse1/$meta-add", body=sent)
    assert status == 200
    assert value(added, "return")["tag"] == [tag]
    assert value(added, "return")["versionId"] == "2"
    _, again = await asked.ask("Observation/pulse1/$meta-add", body=sent)
    assert value(again, "return") == value(added, "return")
    _, read = await asked.ask("Observation/pulse1/$meta")
    assert value(read, "return") == value(added, "return")
    _, of_type = await asked.ask("Observation/$meta")
    assert value(of_type, "return") == {"tag": [tag], "profile": ["http://example.org/profile"]}
    _, of_all = await asked.ask("$meta")
    assert value(of_all, "return") == value(of_type, "return")
    found = await asked.store.search(parse.parse("Observation", [("_tag", "http://example.org|seen")]))
    assert [one.id for one in found.versions] == ["pulse1"]
    _, off = await asked.ask("Observation/pulse1/$meta-delete", body=parameters(meta__valueMeta={"tag": [tag]}))
    assert "tag" not in value(off, "return")
    assert value(off, "return")["profile"] == ["http://example.org/profile"]
    assert (await asked.ask("Observation/pulse1/$meta-add", body=sent, scopes=("system/*.rs",)))[0] == 403
    assert (await asked.ask("Observation/pulse1/$meta-add"))[0] == 400


MESSAGE = {"resourceType": "Bundle", "type": "message", "entry": []}
ACKNOWLEDGEMENT = {"resourceType": "Bundle", "type": "collection"}


@pytest.mark.parametrize(
    ("delivered", "status"),
    [
        (Delivered("/ingest/municipal/receipts/x", decided=True, reply=json.dumps(ACKNOWLEDGEMENT)), 200),
        (Delivered("/ingest/municipal/receipts/x", decided=True), 200),
        (Delivered("/ingest/municipal/receipts/x"), 202),
        (Delivered("", decided=True, reasons=(Reason(RejectionCode.MALFORMED, "Bundle", "no"),)), 422),
    ],
)
async def test_a_message_goes_through_the_door_and_its_outcome_comes_back(
    database: Database, delivered: Delivered, status: int
) -> None:
    taken: list[bytes] = []

    async def door(actor: Actor, body: bytes, wait: bool) -> Delivered:
        assert (actor.client, wait) == ("tester", True)
        taken.append(body)
        return delivered

    header = {"resourceType": "MessageHeader", "id": "h", "eventCoding": {"code": "x"}, "source": {"endpoint": "urn:x"}}
    message = {**MESSAGE, "entry": [{"fullUrl": "urn:uuid:7a1f4c2e-0000-4000-8000-000000000001", "resource": header}]}
    async with desk(database.url, deliver=door) as opened:
        mine = ("ingest/municipal",)
        bare = await opened.ask("$process-message", body=message, scopes=mine)
        assert bare[0] == status
        wrapped = await opened.ask("$process-message", body=parameters(content=message), scopes=mine)
        assert wrapped[0] == status
        assert [json.loads(one) for one in taken] == [message, message]
        assert (await opened.ask("$process-message", body=message, scopes=("system/*.cruds",)))[0] == 403
        assert (await opened.ask("$process-message", body={**message, "type": "collection"}, scopes=mine))[0] == 422
        assert len(taken) == 2
