"""What is about other things, or in no patient's record by itself: it exists for whoever sees all that it is about."""

from __future__ import annotations

import pytest

from gateway.access import Kind, Purpose
from gateway.search import owning, parameters
from gateway.search.standing import NOBODY
from tests.leaks import two_patients
from tests.leaks.gateway import Gateway, actor, citizen, gateway, staff
from tests.leaks.test_rights import CONFIDENTIALITY, blocked, fuldmagt
from tests.leaks.test_writes import spaerring
from tests.leaks.two_patients import NORTH, OF_A, SOUTH, observation, reference

TYPES = ("Provenance", "Binary", "AdverseEvent", "Person", "Schedule", "SupplyRequest", "Group", "Bundle")


@pytest.fixture
def here(postgres_url):
    with gateway(postgres_url) as made:
        made.put(*two_patients.world())
        made.know("a", citizen("a"))
        made.know("north", staff(NORTH))
        made.know("south", staff(SOUTH))
        yield made


def found(here: Gateway, who: str, *types: str) -> set[str]:
    names = {name for kind in types or TYPES for name in here.pages(who, f"/{kind}?_count=3")}
    for name in names:
        assert here.get(who, f"/{name}").status == 200, name
        assert here.get(who, f"/{name}/_history").status == 200, name
    return names


MINE = {name for name in OF_A if name.partition("/")[0] in TYPES}
OF_B = {name.replace("/a-", "/b-") for name in MINE if "a-for-b" not in name}
UNTOLD = {"Provenance/of-what-never-was", "Provenance/of-a-provenance", "Binary/of-nothing", "AdverseEvent/of-gp", "Person/a-and-gp", "Person/nobody", "Schedule/kin-schedule", "SupplyRequest/ward-for-b", "Group/groups", "Bundle/a-bundle"}  # fmt: skip
OF_BOTH = {"Provenance/both-made", "Provenance/from-b", "Schedule/both-schedule", "Group/group"}
OPEN = {"Schedule/gp-schedule", "Provenance/of-a-ward"}
OF_STAFF = {"SupplyRequest/ward-supply", "Group/practitioners"}


def test_each_caller_sees_what_it_sees_all_of(here: Gateway):
    everything = {f"{one['resourceType']}/{one['id']}" for one in two_patients.world() if one["resourceType"] in TYPES}
    assert everything == MINE | OF_B | UNTOLD | OF_BOTH | OPEN | OF_STAFF
    assert found(here, "a") == MINE | OPEN
    assert found(here, "north") == MINE | OF_B | OF_BOTH | OPEN | OF_STAFF
    assert found(here, "south") == OPEN | OF_STAFF
    for who in ("a", "north", "south"):
        for name in everything - found(here, who):
            assert here.get(who, f"/{name}").status == 404, name
            assert here.get(who, f"/{name}/_history/1").status == 404, name
    here.know("operator", actor("user/*.rs", kind=Kind.OPERATOR, purpose=Purpose.OPERATION))
    assert found(here, "operator") == set()


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        ({}, {name for name in MINE if not name.startswith("Person/")}),
        ({"data": [{"meaning": "instance", "reference": reference("Observation/a-bp")}]}, {"Provenance/a-provenance"}),
        ({"data": [{"meaning": "instance", "reference": reference("Binary/a-scan")}]}, {"Binary/a-scan"}),
        ({"data": [{"meaning": "authoredby", "reference": reference("Organization/south")}]}, {"Provenance/a-made", "Binary/a-scan"}),
        # what has no date is hidden too
        ({"dataPeriod": {"start": "2010", "end": "2012"}}, {"Binary/a-scan", "Binary/a-binary", "AdverseEvent/a-event", "Schedule/a-schedule", "SupplyRequest/a-supply", "SupplyRequest/a-for-b", "Group/a-group"}),
        ({"actor": [blocked("Organization/south")]}, set()),
    ],
)  # fmt: skip
def test_a_block_hides_what_is_about_what_it_hides(here: Gateway, rule, gone):
    before = found(here, "north")
    here.put({**spaerring("a", **rule), "id": "block"})
    both = {"Provenance/both-made", "Provenance/from-b", "Schedule/both-schedule", "Group/group"}
    assert before - found(here, "north") - both == gone
    assert found(here, "a") == MINE | OPEN


def test_no_reference_to_what_is_hidden_leaks(here: Gateway):
    """One target more that the caller does not see, and it is not there; a search by what it names finds nothing."""
    secret = {**observation("a-secret", "a"), "meta": {"security": [{"system": CONFIDENTIALITY, "code": "V"}]}}
    made = {"resourceType": "Provenance", "id": "of-secret", "target": [reference("Observation/a-bp"), reference("Observation/a-secret")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/north")}]}  # fmt: skip
    here.put(secret, made, {"resourceType": "Binary", "id": "secret", "contentType": "text/plain", "data": "eA==", "securityContext": reference("Observation/a-secret")})  # fmt: skip
    assert {"Provenance/of-secret", "Binary/secret"} <= found(here, "a")
    for path in ("/Provenance/of-secret", "/Binary/secret"):
        assert here.get("north", path).status == 404
    for question in ("Provenance?target=Observation/a-secret", "Observation?_has:Provenance:target:_id=of-secret", "Provenance?_id=of-secret"):  # fmt: skip
        assert here.get("north", f"/{question}").ids == [], question
    assert "Provenance/of-secret" not in here.get("north", "/Observation?_revinclude=Provenance:target&_count=100").ids
    assert "Provenance/a-provenance" in here.get("north", "/Observation?_revinclude=Provenance:target&_count=100").ids
    here.put(observation("a-secret", "a"))
    assert {"Provenance/of-secret", "Binary/secret"} <= found(here, "north")
    assert here.ask("all", "DELETE", "/Observation/a-secret").status == 204
    for who in ("a", "north"):
        assert not {"Provenance/of-secret", "Binary/secret"} & found(here, who), "what it is about is not there"


def test_it_is_judged_as_it_is_at_the_moment(here: Gateway):
    """An observation that becomes another's takes its Provenance and its Binary along."""
    attached = {"resourceType": "Binary", "id": "attached", "contentType": "text/plain", "data": "eA==", "securityContext": reference("Observation/a-lab")}  # fmt: skip
    here.put(attached)
    assert {"Binary/attached", "Provenance/a-made"} <= found(here, "a")
    here.put(observation("a-lab", "b"))
    assert not {"Binary/attached", "Provenance/a-made"} & found(here, "a")
    here.put({**attached, "securityContext": reference("Patient/a")})
    assert here.get("a", "/Binary/attached").status == 200
    assert here.get("a", "/Binary/attached/_history/1").status == 404, "then it was about what is another's now"
    assert here.get("a", "/Binary/attached", accept="text/plain").body == b"x"


def test_scopes_narrow_what_it_may_be_about(here: Gateway):
    def provenances(*scopes: str) -> set[str]:
        here.know("he", citizen("a", *scopes))
        return found(here, "he", "Provenance")

    assert provenances("patient/Provenance.rs") == set()
    assert provenances("patient/Provenance.rs", "patient/Observation.rs") == {"Provenance/a-made"}
    both = {"Provenance/a-made", "Provenance/a-provenance"}
    assert provenances("patient/Provenance.rs", "patient/Observation.rs", "patient/Patient.rs") == both
    laboratory = "patient/Observation.rs?category=laboratory"
    assert provenances("patient/Provenance.rs", laboratory, "patient/Patient.rs") == {"Provenance/a-made"}
    assert provenances("patient/Provenance.rs?agent=Organization/south", "patient/*.rs") == both | {
        "Provenance/of-a-ward"
    }
    # a launch for one patient: what the user may see besides opens nothing to the scopes of that patient
    here.know("launched", staff(NORTH, "patient/Provenance.rs", "user/*.r", "user/Observation.rs", patient="Patient/a"))
    assert found(here, "launched", "Provenance") == set()
    here.know("launched", staff(NORTH, "patient/*.rs", patient="Patient/a"))
    assert found(here, "launched", "Provenance") == both | {"Provenance/of-a-ward"}


def test_a_fuldmagt_of_some_types_opens_no_provenance_of_them(here: Gateway):
    here.know("proxy", citizen("b", on_behalf_of="Patient/a"))
    types = "http://hl7.org/fhir/resource-types"
    here.put(fuldmagt(**{"class": [{"system": types, "code": "Observation"}]}))
    assert found(here, "proxy") == OPEN
    here.put(fuldmagt(**{"class": [{"system": types, "code": "Observation"}, {"system": types, "code": "Provenance"}]}))
    assert found(here, "proxy") == OPEN | {"Provenance/a-made"}
    here.put(fuldmagt())
    assert found(here, "proxy") == MINE | OPEN
    here.put({**spaerring("a", actor=[blocked("Patient/b")], data=[{"meaning": "instance", "reference": reference("Provenance/a-made")}]), "id": "x"})  # fmt: skip
    assert found(here, "proxy") == (MINE | OPEN) - {"Provenance/a-made"}


def test_a_vaerdispring_sees_what_is_about_the_patient(here: Gateway):
    here.know("jump", staff(SOUTH, purpose=Purpose.VAERDISPRING, patient="Patient/a", reason="bevidstløs"))
    here.put({**spaerring("a"), "id": "block"})
    assert found(here, "jump") == MINE | OPEN | OF_STAFF


def test_users_write_events_and_orders_and_nothing_that_says_who_is_who(here: Gateway):
    event = {"resourceType": "AdverseEvent", "actuality": "actual", "subject": reference("Patient/a")}
    assert here.ask("north", "POST", "/AdverseEvent", event).status == 201
    assert here.ask("south", "POST", "/AdverseEvent", event).status == 403
    assert here.ask("north", "POST", "/AdverseEvent", {**event, "subject": reference("Practitioner/gp")}).status == 403
    order = next(one for one in two_patients.world() if one["id"] == "ward-supply")
    assert here.ask("south", "POST", "/SupplyRequest", order).status == 201
    for requester, status in (("Patient/a", 403), ("RelatedPerson/x", 403), ("Practitioner/gp", 201)):
        assert (
            here.ask("north", "POST", "/SupplyRequest", {**order, "requester": reference(requester)}).status == status
        )
    for one in two_patients.world():
        if one["resourceType"] in {"Provenance", "Binary", "Person", "Schedule", "Group", "Bundle"}:
            for who in ("a", "north"):
                assert here.ask(who, "POST", f"/{one['resourceType']}", one).status == 403, one["id"]


def test_a_partner_who_treats_writes_a_provenance_of_what_it_sees(here: Gateway):
    here.know("partner", actor("system/*.cruds", purpose=Purpose.TREATMENT, organisation=NORTH))
    made = {"resourceType": "Provenance", "target": [reference("Observation/a-bp")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": {"display": "x"}}]}  # fmt: skip
    here.put({**spaerring("a"), "id": "block"})
    assert here.ask("partner", "POST", "/Provenance", made).status == 201, "a refusal would tell of the block"
    here.know("partner", actor("system/*.cruds", purpose=Purpose.TREATMENT, organisation=SOUTH))
    assert here.ask("partner", "POST", "/Provenance", made).status == 403


def test_what_names_whom_is_read_as_it_is_stated():
    read = owning.owners
    assert read({"resourceType": "AdverseEvent", "subject": reference("Group/x")}) == [NOBODY]
    assert read({"resourceType": "AdverseEvent"}) == [NOBODY]
    assert read({"resourceType": "Group", "member": [{"entity": {"identifier": {"value": "1"}}}]}) == [NOBODY]
    assert read({"resourceType": "Group", "characteristic": [{"valueReference": reference("#x")}]}) == [NOBODY]
    assert read({"resourceType": "Group"}) == []
    first, last = read({"resourceType": "Schedule", "actor": [reference("Device/x"), reference("Patient/a")]})
    assert first == owning.reference("patient", "Patient/a")
    assert last == NOBODY
    assert {kind for kind in owning.OWNED if parameters.of(kind).get("patient")} == set()
