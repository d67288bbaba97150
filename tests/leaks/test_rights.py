"""Relation, spærring, fuldmagt, custody, værdispring and labels: what each opens and closes, from one request to the next."""

from __future__ import annotations

import datetime as dt

import pytest

from gateway.access import Policy, Purpose
from gateway.search.standing import Category
from tests.leaks import two_patients
from tests.leaks.gateway import Gateway, actor, citizen, gateway, staff
from tests.leaks.test_writes import spaerring
from tests.leaks.two_patients import NORTH, SOUTH, WARD, encounter, observation, patient, reference

ROLES = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


@pytest.fixture
def here(postgres_url):
    with gateway(postgres_url) as made:
        made.put(*two_patients.world())
        made.know("a", citizen("a"))
        made.know("north", staff(NORTH))
        made.know("ann", staff(NORTH, authorisation="BCDF1"))
        made.know("ward", staff(WARD))
        made.know("south", staff(SOUTH))
        yield made


def observations(here: Gateway, who: str) -> set[str]:
    return {*here.pages(who, "/Observation?_count=3")}


OF_BOTH = {f"Observation/{who}-{what}" for who in "ab" for what in ("bp", "lab", "panel")} | {
    "Observation/a-by-b",
    "Observation/b-about-a",
}
OF_A = {name for name in OF_BOTH if name.startswith("Observation/a")}


def test_who_treats_sees_and_nobody_else(here: Gateway):
    assert observations(here, "north") == OF_BOTH
    assert observations(here, "ward") == OF_BOTH, "a part of whoever treats"
    assert observations(here, "south") == set()
    assert here.get("south", "/Patient?_total=accurate&_summary=count").json["total"] == 0
    assert here.get("south", "/Patient/a").status == 404
    here.put(encounter("a-visit", "a", "south", "2026-11-20T10:00:00+01:00", "2026-11-20T11:00:00+01:00"))
    assert observations(here, "south") == OF_A
    assert here.get("south", "/Appointment").ids == ["Appointment/a-alone"], (
        "the other is of two, one of whom it treats"
    )


def test_who_looks_to_learn_writes_nothing(here: Gateway):
    here.know("learner", staff(NORTH, purpose=Purpose.QUALITY))
    assert here.get("learner", "/Observation/a-bp").status == 200
    pressure = observation("a-bp", "a", status="amended")
    assert here.ask("learner", "PUT", "/Observation/a-bp", pressure).status == 403
    assert here.ask("learner", "POST", "/Observation", observation("x", "a")).status == 403
    kind = {"content-type": "application/json-patch+json"}
    patch = b'[{"op":"replace","path":"/status","value":"amended"}]'
    assert here.ask("learner", "PATCH", "/Observation/a-bp", patch, **kind).status == 403
    assert here.ask("north", "PUT", "/Observation/a-bp", pressure).status == 200


def test_a_relation_ends_a_while_after_the_contact(here: Gateway):
    end = dt.datetime(2026, 11, 20, 10, 0, 1, tzinfo=dt.UTC)  # a second is as long as it is
    here.put(encounter("a-visit", "a", "south", "2026-11-20T10:00:00+01:00", "2026-11-20T11:00:00+01:00"))
    here.clock.at = end + Policy().lasts_after - dt.timedelta(seconds=1)
    assert observations(here, "south") == OF_A
    here.clock.advance(dt.timedelta(seconds=1))
    assert observations(here, "south") == set()
    quality = staff(SOUTH, purpose=Purpose.QUALITY)
    here.know("quality", quality)
    assert observations(here, "quality") == OF_A
    here.clock.at = end + Policy().quality_after
    assert observations(here, "quality") == set()


def test_a_relation_stands_a_while_before_a_planned_contact(here: Gateway):
    start = dt.datetime(2026, 12, 20, 9, tzinfo=dt.UTC)
    here.put({**encounter("a-plan", "a", "south", "2026-12-20T10:00:00+01:00"), "status": "planned"})
    here.clock.at = start - Policy().begins_before - dt.timedelta(seconds=1)
    assert observations(here, "south") == set()
    here.clock.advance(dt.timedelta(seconds=1))
    assert observations(here, "south") == OF_A
    here.put({**encounter("a-plan", "a", "south", "2026-12-20T10:00:00+01:00"), "status": "cancelled"})
    assert observations(here, "south") == set(), "what is cancelled is no relation"


def test_the_least_category_is_the_policy_s(postgres_url):
    with gateway(postgres_url, policy=Policy(least=Category.A)) as here:
        here.put(*two_patients.world())
        here.know("south", staff(SOUTH))
        here.put({"resourceType": "EpisodeOfCare", "id": "a-episode", "status": "active", "patient": reference("Patient/a"), "managingOrganization": reference("Organization/south"), "period": {"start": "2026-01-01"}})  # fmt: skip
        assert observations(here, "south") == set()
        here.put(encounter("a-visit", "a", "south", "2026-11-20T10:00:00+01:00"))
        assert observations(here, "south") == OF_A


def test_an_unclear_relation_opens_one_patient_where_policy_says_so(postgres_url):
    with gateway(postgres_url, policy=Policy(unclear_opens=True)) as here:
        here.put(*two_patients.world())
        here.know("launched", staff(SOUTH, "patient/*.rs", patient="Patient/a"))
        here.know("user", staff(SOUTH))
        assert observations(here, "launched") == OF_A
        assert observations(here, "user") == set()


def test_a_block_takes_effect_at_once_everywhere(here: Gateway):
    told = here.ask("a", "POST", "/Consent", spaerring("a", actor=[blocked("Organization/north")]))
    assert told.status == 201
    for who in ("north", "ann", "ward"):
        assert observations(here, who) == OF_BOTH - OF_A, who
        assert here.get(who, "/Observation/a-bp").status == 404
        assert here.get(who, "/Observation/a-bp/_history/1").status == 404
        assert here.pages(who, "/Encounter") == ["Encounter/b-stay"]
        assert here.get(who, "/Patient?_has:Observation:patient:_id=a-bp").ids == []
        assert "Condition/a-condition" not in here.pages(who, "/Patient/a/$everything")
    assert here.get("north", "/Observation?_summary=count&_total=accurate").json["total"] == len(OF_BOTH - OF_A)
    assert here.get("north", "/Consent").ids == [], "nor is the block there to be seen"
    assert observations(here, "a") >= OF_A
    assert here.ask("a", "DELETE", f"/Consent/{told.json['id']}").status == 204
    assert observations(here, "north") == OF_BOTH


def blocked(target: str) -> dict:
    role = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
    return {"role": role, "reference": reference(target)}


@pytest.mark.parametrize(
    ("rule", "hidden", "from_whom"),
    [
        ({}, {"bp", "lab", "panel", "by-b"}, {"ann", "north"}),
        ({"actor": [blocked("Practitioner/ann")]}, {"bp", "lab", "panel", "by-b"}, {"ann"}),
        ({"actor": [blocked("Organization/ward")]}, {"bp", "lab", "panel", "by-b"}, {"ward"}),
        ({"data": [{"meaning": "instance", "reference": reference("Observation/a-lab")}]}, {"lab"}, {"ann", "north"}),
        ({"dataPeriod": {"start": "2026-11-01", "end": "2026-11-01"}}, {"bp", "lab", "panel", "by-b"}, {"ann", "north"}),
        ({"dataPeriod": {"start": "2026-10-01", "end": "2026-10-31"}}, set(), {"ann", "north"}),
        ({"data": [{"meaning": "authoredby", "reference": reference("Organization/south")}]}, {"lab"}, {"ann", "north"}),
        ({"data": [{"meaning": "authoredby", "reference": reference("Organization/north")}]}, {"bp"}, {"ann", "north"}),
        ({"period": {"end": "2026-11-21"}}, set(), {"ann", "north"}),
        ({"period": {"start": "2026-11-22T12:00:00+01:00"}}, {"bp", "lab", "panel", "by-b"}, {"ann", "north"}),
        ({"period": {"start": "2026-11-22T12:00:01+01:00"}}, set(), {"ann", "north"}),
        ({"type": "permit", "provision": [{"type": "deny", "data": [{"meaning": "instance", "reference": reference("Observation/a-bp")}]}]}, {"bp"}, {"ann", "north"}),
    ],
)  # fmt: skip
def test_a_block_hides_what_it_is_about_from_whom_it_names(here: Gateway, rule, hidden, from_whom):
    here.put({**spaerring("a", **rule), "id": "block"})
    for who in ("ann", "north", "ward"):
        inside = who in from_whom or (who == "ward" and "north" in from_whom)
        gone = {f"Observation/a-{one}" for one in hidden} if inside else set()
        assert observations(here, who) == OF_BOTH - gone, who


def test_data_of_an_organisation_is_also_what_belongs_to_its_encounter(here: Gateway):
    here.put(
        {**spaerring("a", data=[{"meaning": "authoredby", "reference": reference("Organization/north")}]), "id": "x"}
    )
    assert here.pages("north", "/Condition") == ["Condition/b-condition"]
    assert here.pages("north", "/Encounter") == ["Encounter/b-stay"]


def test_vaerdispring_sees_past_a_block_for_one_patient_with_a_reason(here: Gateway):
    here.put({**spaerring("a"), "id": "block"})
    jump = staff(SOUTH, purpose=Purpose.VAERDISPRING, patient="Patient/a", reason="bevidstløs, ukendt medicin")
    here.know("jump", jump)
    assert observations(here, "jump") == OF_A
    assert here.get("jump", "/Observation/b-bp").status == 404
    here.know("mute", staff(SOUTH, purpose=Purpose.VAERDISPRING, patient="Patient/a"))
    assert here.get("mute", "/Observation").status == 403
    here.know("anyone", staff(SOUTH, purpose=Purpose.VAERDISPRING, reason="x"))
    assert here.get("anyone", "/Observation").status == 403


def test_a_patient_s_agreement_opens_without_a_relation(here: Gateway):
    here.know("agreed", staff(SOUTH, purpose=Purpose.CONSENT))
    assert observations(here, "agreed") == set()
    here.put({**spaerring("a", type="permit", actor=[blocked("Organization/south")]), "id": "agreed"})
    assert observations(here, "agreed") == OF_A
    assert observations(here, "south") == set(), "for treatment it is a relation that counts"


def test_labels_are_opened_by_purpose(here: Gateway):
    for letter in ("R", "V"):
        here.put(
            {**observation(f"a-{letter}", "a"), "meta": {"security": [{"system": CONFIDENTIALITY, "code": letter}]}}
        )
    here.know("quality", staff(NORTH, purpose=Purpose.QUALITY))
    here.know("jump", staff(NORTH, purpose=Purpose.VAERDISPRING, patient="Patient/a", reason="x"))
    assert observations(here, "north") - OF_BOTH == {"Observation/a-R"}
    assert observations(here, "quality") - OF_BOTH == set()
    assert observations(here, "jump") - OF_BOTH == {"Observation/a-R", "Observation/a-V"}
    assert observations(here, "a") - OF_BOTH == {"Observation/a-R", "Observation/a-V"}


def family(born: str) -> list[dict]:
    mother = {"resourceType": "RelatedPerson", "id": "mother", "patient": reference("Patient/child"), "relationship": [{"coding": [{"system": ROLES, "code": "GUARD"}]}]}  # fmt: skip
    uncle = {"resourceType": "RelatedPerson", "id": "uncle", "patient": reference("Patient/child"), "relationship": [{"coding": [{"system": ROLES, "code": "UNCLE"}]}]}  # fmt: skip
    links = {"a": "mother", "b": "uncle"}
    return [
        patient("child", "Andersen", born, "C-1"),
        mother,
        uncle,
        *(
            {**patient(who, "x", "1980-01-01", f"{who}-1"), "link": [{"other": reference(f"RelatedPerson/{related}"), "type": "seealso"}]}
            for who, related in links.items()
        ),
        observation("child-bp", "child"),
        {**observation("child-secret", "child"), "meta": {"security": [{"system": "urn:sundbro:label", "code": "not-for-parents"}]}},
    ]  # fmt: skip


def test_custody_opens_a_child_s_record_until_it_is_fifteen(here: Gateway):
    here.put(*family("2011-11-23"))
    here.know("parent", citizen("a", on_behalf_of="Patient/child"))
    here.know("other", citizen("b", on_behalf_of="Patient/child"))
    here.know("child", citizen("child"))
    here.clock.at = dt.datetime(2026, 11, 22, 22, 59, 59, 999999, tzinfo=dt.UTC)  # a moment before midnight in Denmark
    assert observations(here, "parent") == {"Observation/child-bp"}
    assert here.get("parent", "/Observation/child-secret").status == 404
    assert here.get("parent", "/Observation/a-bp").status == 404, "acting for the child, it is the child's record"
    assert observations(here, "other") == set(), "who is related has no custody by that"
    assert here.ask("parent", "POST", "/Consent", spaerring("child")).status == 201
    assert here.ask("parent", "POST", "/Observation", observation("x", "child")).status == 403
    here.clock.advance(dt.timedelta(microseconds=1))
    assert observations(here, "parent") == set()
    assert here.get("parent", "/Patient/child").status == 404
    assert here.ask("parent", "POST", "/Consent", spaerring("child")).status == 403
    assert observations(here, "child") == {"Observation/child-bp", "Observation/child-secret"}


def test_who_has_custody_gives_nobody_a_right_to_the_child_s_record(here: Gateway):
    here.put(*family("2011-11-23"))
    here.know("parent", citizen("a", on_behalf_of="Patient/child"))
    fuldmagt = {"role": {"coding": [{"system": ROLES, "code": "POWATT"}]}, "reference": reference("Patient/a")}
    agreed = {"role": {"text": "x"}, "reference": reference("Organization/south")}
    for permit in ({"actor": [fuldmagt]}, {"actor": [agreed]}, {"actor": [fuldmagt], "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}]}):  # fmt: skip
        given = spaerring("child", type="permit", **permit)
        assert here.ask("parent", "POST", "/Consent", given).status == 403
        told = here.ask("parent", "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": given, "request": {"method": "POST", "url": "Consent"}}]})  # fmt: skip
        assert told.status == 403
        both = spaerring("child", type="permit", actor=[fuldmagt]) | {"status": "draft"}
        assert here.ask("parent", "POST", "/Consent", both).status == 403, "what is no spærring is not his to write"
    mixed = spaerring("child", type="permit", actor=[fuldmagt])
    mixed["provision"]["provision"] = [{"type": "deny"}]
    assert here.ask("parent", "POST", "/Consent", mixed).status == 201, (
        "a permit with exceptions is no mandate: it is read as its block"
    )
    assert here.get("parent", "/Observation/child-secret").status == 404
    here.clock.at = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)  # fifteen
    assert observations(here, "parent") == set()
    here.know("child", citizen("child"))
    assert here.ask("child", "POST", "/Consent", spaerring("child", type="permit", actor=[fuldmagt])).status == 201
    assert observations(here, "parent") == {"Observation/child-bp", "Observation/child-secret"}


@pytest.mark.parametrize(
    ("born", "last"),
    [
        ("2011-03-29", dt.datetime(2026, 3, 28, 22, 59, 59, tzinfo=dt.UTC)),  # the clocks go forward that night
        ("2011-03-30", dt.datetime(2026, 3, 29, 21, 59, 59, tzinfo=dt.UTC)),  # and have gone
        ("2011-10-26", dt.datetime(2026, 10, 25, 22, 59, 59, tzinfo=dt.UTC)),  # a day of 25 hours
        ("2011-07-01", dt.datetime(2026, 6, 30, 21, 59, 59, tzinfo=dt.UTC)),
        ("2012-02-29", dt.datetime(2027, 2, 27, 22, 59, 59, tzinfo=dt.UTC)),  # the year has no 29th: the careful day
        ("2012-03-01", dt.datetime(2027, 2, 28, 22, 59, 59, tzinfo=dt.UTC)),
        ("2013-02-28", dt.datetime(2028, 2, 27, 22, 59, 59, tzinfo=dt.UTC)),
        ("2013-03-01", dt.datetime(2028, 2, 29, 22, 59, 59, tzinfo=dt.UTC)),
        ("2011-11", dt.datetime(2026, 10, 31, 22, 59, 59, tzinfo=dt.UTC)),  # the day is not known: the earliest
        ("2011", dt.datetime(2025, 12, 31, 22, 59, 59, tzinfo=dt.UTC)),
    ],
)
def test_the_fifteenth_birthday_begins_at_midnight_in_denmark(here: Gateway, born, last):
    here.put(*family(born))
    here.know("parent", citizen("a", on_behalf_of="Patient/child"))
    here.clock.at = last
    assert observations(here, "parent") == {"Observation/child-bp"}
    here.clock.advance(dt.timedelta(seconds=1))
    assert observations(here, "parent") == set()


def fuldmagt(**rule: object) -> dict:
    role = {"coding": [{"system": ROLES, "code": "POWATT"}]}
    made = spaerring("a", type="permit", actor=[{"role": role, "reference": reference("Patient/b")}], **rule)
    return {**made, "id": "fuldmagt"}


def test_a_fuldmagt_opens_what_it_says_for_as_long_as_it_says(here: Gateway):
    here.know("proxy", citizen("b", on_behalf_of="Patient/a"))
    assert observations(here, "proxy") == set()
    here.put(fuldmagt(period={"start": "2026-11-01", "end": "2026-11-30"}))
    assert observations(here, "proxy") == OF_A
    assert here.get("proxy", "/Condition").ids == ["Condition/a-condition"]
    assert here.ask("proxy", "POST", "/Consent", spaerring("a")).status == 403, "it opens reading alone"
    assert here.get("proxy", "/Consent").ids == [], "a spærring may be against him"
    here.put({**spaerring("a", actor=[blocked("Patient/b")], data=[{"meaning": "instance", "reference": reference("Observation/a-bp")}]), "id": "x"})  # fmt: skip
    assert observations(here, "proxy") == OF_A - {"Observation/a-bp"}
    here.put({**spaerring("a"), "id": "x"})
    assert observations(here, "proxy") == OF_A, "one against every professional is not against him"
    here.put(fuldmagt(**{"class": [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}]}))
    assert observations(here, "proxy") == OF_A
    assert here.get("proxy", "/Condition").ids == []
    here.put(fuldmagt(period={"end": "2026-11-21"}))
    assert observations(here, "proxy") == set()
    for narrowing in ({"dataPeriod": {"start": "2026"}}, {"purpose": [{"system": "x", "code": "y"}]}, {"provision": [{"type": "deny"}]}, {"class": [{"system": "urn:x", "code": "Observation"}]}):  # fmt: skip
        here.put(fuldmagt(**narrowing))
        assert observations(here, "proxy") == set(), narrowing


def test_operators_see_no_health_data(here: Gateway):
    from gateway.access import Assurance, Kind

    here.know("operator", actor("system/*.cruds", "user/*.cruds", kind=Kind.OPERATOR, purpose=Purpose.OPERATION, assurance=Assurance.HIGH))  # fmt: skip
    assert here.get("operator", "/Patient").ids == []
    assert here.get("operator", "/Observation/a-bp").status == 404
    assert here.ask("operator", "POST", "/Observation", observation("x", "a")).status == 403
    assert here.get("operator", "/Organization").status == 200
    here.know("confused", actor("system/*.rs", kind=Kind.CITIZEN, purpose=Purpose.OWN, person="Patient/a"))
    assert here.get("confused", "/Patient").status == 403, "a citizen has no system scope"


def test_the_rules_that_fired_are_named(here: Gateway):
    from gateway import access
    from gateway.access import NotPermitted, Read, Rule

    def rules(who, kind="Observation"):
        return {*access.decide(who, Read(kind, "x")).rules(here.clock.now())}

    assert rules(actor("system/*.rs")) == {Rule.SYSTEM_SCOPE}
    assert rules(citizen("a")) == {Rule.OWN_RECORD}
    assert rules(citizen("a"), "Organization") == {Rule.ADMINISTRATIVE}
    assert rules(citizen("a"), "Provenance") == {Rule.OWN_RECORD, Rule.ADMINISTRATIVE}
    assert rules(citizen("a", "patient/Provenance.rs"), "Provenance") == {Rule.NOTHING}
    assert rules(citizen("a"), "Bundle") == {Rule.NOTHING}
    assert rules(citizen("a", on_behalf_of="Patient/child")) == {
        Rule.CUSTODY,
        Rule.FULDMAGT,
        Rule.SPAERRING,
        Rule.LABELS,
    }
    assert rules(staff(NORTH)) == {Rule.RELATION, Rule.SPAERRING, Rule.LABELS}
    jump = staff(NORTH, purpose=Purpose.VAERDISPRING, patient="Patient/a", reason="x")
    assert rules(jump) == {Rule.VAERDISPRING}
    for who, rule in (
        (citizen("a", "patient/Patient.r"), Rule.NO_SCOPE),
        (staff(NORTH, purpose=Purpose.OWN), Rule.PURPOSE_NOT_ITS),
    ):
        with pytest.raises(NotPermitted) as refused:
            access.decide(who, Read("Observation", "x"))
        assert refused.value.rules == (rule,)


def test_a_citizen_with_several_records_sees_what_is_in_each_and_no_more(here: Gateway):
    here.know("merged", citizen("b", records=("Patient/a",)))
    assert observations(here, "merged") == OF_BOTH - OF_A, "what a token or a memory says of links opens nothing"
    here.put({**patient("a", "Andersen", "1980-05-17", "A-1"), "link": [{"other": reference("Patient/b"), "type": "replaced-by"}]})  # fmt: skip
    assert observations(here, "merged") == OF_BOTH
    assert here.get("merged", "/Patient/a").status == 200
    assert here.pages("merged", "/Patient?_sort=_id") == ["Patient/a", "Patient/b"]
    assert {*here.pages("merged", "/Encounter")} == {
        *here.pages("a", "/Encounter"),
        *here.pages("all", "/Encounter?patient=b"),
    }
    here.put(patient("third", "x", "1980-01-01", "T-1"), observation("third-bp", "third"))
    assert observations(here, "merged") == OF_BOTH
    assert here.get("merged", "/Patient/third").status == 404
    assert {*here.pages("merged", "/_history?_count=5")} >= OF_BOTH


def test_custody_is_his_whichever_record_it_was_given_to(here: Gateway):
    here.put(*family("2015-01-01"))
    here.know("merged", citizen("c", on_behalf_of="Patient/child", records=("Patient/a",)))
    assert observations(here, "merged") == {"Observation/child-bp"}
    here.know("other", citizen("c", on_behalf_of="Patient/child", records=("Patient/b",)))
    assert observations(here, "other") == set()
