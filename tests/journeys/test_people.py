"""Who sees what in the demo: its people, by the tokens that `sundbro token --as NAME` prints, over what its senders send."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

import httpx
import pytest

from gateway.app import tokens
from gateway.app.feeds import id_secret
from gateway.clock import SystemClock
from gateway.fhir.ids import Ids
from gateway.formats import json
from gateway.identity.people import PEOPLE, record
from synthetic import cast, rights
from tests.gateway import Gateway

ADMITTED = ("citizen-1", "citizen-4", "child")
FEEDS = {"observation": ("municipal", "application/fhir+json"), "home": ("home", "application/json")}


class Demo:
    """The demo's beginning in a gateway of its own: what the cast's senders send, and nothing else."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        ids = Ids(id_secret(gateway.settings))
        self.records = {name: record(one, ids) for name, one in PEOPLE.items() if one.cpr and not one.acts_for}
        self._clients: dict[str, httpx.Client] = {}

    def fill(self) -> None:
        for source, messages in cast.beginnings(SystemClock()).items():
            if source in FEEDS:
                feed, kind = FEEDS[source]
                for message in messages:
                    assert self.gateway.sent(feed, message, kind)["state"] == "stored"
            else:
                assert set(self.gateway.mllp_send(*messages)) <= {"AA", "CA"}
        self.gateway.drained()
        for asked in rights.requests(self.records.__getitem__):
            assert self.write(asked).status_code in {200, 201}, asked

    def write(self, asked: rights.Request) -> httpx.Response:
        headers = {"content-type": asked.content_type}
        return self.by("all").request(asked.method, f"/fhir/{asked.path}", content=asked.body, headers=headers)

    def by(self, name: str) -> httpx.Client:
        if name not in self._clients:
            self._clients[name] = self.gateway.client(tokens.mint(self.gateway.settings, name, []))
        return self._clients[name]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def observed(self, name: str) -> set[str]:
        """Return the patients of whom `name` sees Observations, as the cast calls them."""
        answer = self.by(name).get("/fhir/Observation?_count=500&_total=accurate")
        assert answer.status_code == httpx.codes.OK, answer.text
        bundle = answer.json()
        assert not any(link["relation"] == "next" for link in bundle["link"])
        found = [entry["resource"]["subject"]["reference"] for entry in bundle.get("entry", ())]
        assert bundle["total"] == len(found)
        called = {reference: known for known, reference in self.records.items()}
        return {called[one] for one in found}

    def reads(self, name: str, address: str) -> int:
        return self.by(name).get(f"/fhir/{address}").status_code


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with Gateway(tmp_path_factory.mktemp("people")) as running:
        made = Demo(running)
        made.fill()
        try:
            yield made
        finally:
            made.close()


EVERYBODY = sorted(name for name, one in PEOPLE.items() if one.cpr and not one.acts_for)
SEES: Mapping[str, set[str]] = {
    **{name: {name} for name in EVERYBODY},
    "parent-for-child": {"child"},
    "parent-for-child-15": set(),
    "proxy-for-citizen-4": {"citizen-4"},
    "doctor-ouh": {*ADMITTED},
    "nurse-ouh": {*ADMITTED},
    "doctor-other": set(),
    "municipal-nurse": {"citizen-1", "citizen-2"},
    "partner": {*EVERYBODY},
}


@pytest.mark.parametrize("name", SEES)
def test_each_sees_the_observations_of_whom_he_may_and_of_nobody_else(demo: Demo, name: str) -> None:
    assert demo.observed(name) == SEES[name]


@pytest.mark.parametrize("name", SEES)
def test_a_record_out_of_reach_is_as_if_it_were_not_there(demo: Demo, name: str) -> None:
    for whose in EVERYBODY:
        expected = httpx.codes.OK if whose in SEES[name] else httpx.codes.NOT_FOUND
        assert demo.reads(name, demo.records[whose]) == expected, whose


def test_an_operator_sees_no_health_data(demo: Demo) -> None:
    for whose in EVERYBODY:
        assert demo.reads("operator", demo.records[whose]) == httpx.codes.FORBIDDEN
    assert demo.reads("operator", "Observation") == httpx.codes.FORBIDDEN
    assert demo.reads("operator", "AuditEvent?_count=1") == httpx.codes.OK


def test_a_partner_reads_by_its_registration_alone(demo: Demo) -> None:
    assert demo.reads("partner", "Encounter") == httpx.codes.FORBIDDEN
    assert demo.reads("partner", "Consent") == httpx.codes.FORBIDDEN


def test_a_citizen_is_told_of_the_doctor_s_look_and_not_of_who_the_doctor_is(demo: Demo) -> None:
    assert demo.reads("doctor-ouh", demo.records["citizen-1"]) == httpx.codes.OK
    assert demo.reads("doctor-other", demo.records["citizen-1"]) == httpx.codes.NOT_FOUND
    answer = demo.by("citizen-1").get(f"/fhir/{demo.records['citizen-1']}/$who-has-seen?language=en")
    assert answer.status_code == httpx.codes.OK, answer.text
    looks = [{part["name"]: part for part in one["part"]} for one in answer.json()["parameter"]]
    codes = {one["organisationCode"]["valueString"] for one in looks if "organisationCode" in one}
    assert PEOPLE["doctor-ouh"].organisation in codes
    assert PEOPLE["doctor-other"].organisation not in codes, "who saw nothing is not told of"
    assert PEOPLE["doctor-ouh"].authorisation not in answer.text
    assert demo.reads("citizen-2", f"{demo.records['citizen-1']}/$who-has-seen") in {403, 404}


def test_a_merged_record_is_seen_with_the_one_that_replaced_it(demo: Demo) -> None:
    link = [
        {
            "op": "add",
            "path": "/link",
            "value": [{"other": {"reference": demo.records["citizen-2"]}, "type": "replaced-by"}],
        }
    ]
    unlink = [{"op": "remove", "path": "/link"}]
    address = demo.records["citizen-3"]
    merged = tokens.mint(demo.gateway.settings, "citizen-3", ["patient/*.r"])  # nothing of this actor is remembered
    assert demo.write(rights.Request("PATCH", address, json.dumps(link), rights.PATCH)).status_code == httpx.codes.OK
    with demo.gateway.client(merged) as client:
        for whose in ("citizen-2", "citizen-3"):
            assert client.get(f"/fhir/{demo.records[whose]}").status_code == httpx.codes.OK, whose
        assert client.get(f"/fhir/{demo.records['citizen-1']}").status_code == httpx.codes.NOT_FOUND
    assert demo.write(rights.Request("PATCH", address, json.dumps(unlink), rights.PATCH)).status_code == httpx.codes.OK
    apart = tokens.mint(demo.gateway.settings, "citizen-3", ["patient/Patient.r"])
    with demo.gateway.client(apart) as client:
        assert client.get(f"/fhir/{demo.records['citizen-2']}").status_code == httpx.codes.NOT_FOUND


def test_who_logs_in_is_on_record(demo: Demo) -> None:
    gateway = demo.gateway
    with httpx.Client(base_url=f"http://{gateway.http}", follow_redirects=True, timeout=30) as browser:
        shown = browser.get("/login")
        form = {"asked": re.search(r'name="asked" value="([^"]*)"', shown.text)[1]}  # type: ignore[index]
        entered = browser.post(
            f"http://{gateway.http}/local-issuer/authorize",
            data={"asked": html.unescape(form["asked"]), "person": "citizen-1", "level": "substantial", "do": "enter"},
        )
        assert entered.status_code == httpx.codes.OK, entered.text
    answer = demo.by("operator").get("/fhir/AuditEvent?_count=20").json()
    events = [entry["resource"] for entry in answer["entry"]]
    (login,) = [one for one in events if one["subtype"][0]["code"] == "login"]
    assert (login["type"]["code"], login["outcome"]) == ("110114", "0")
    assert demo.records["citizen-1"] in {agent.get("who", {}).get("reference") for agent in login["agent"]}


def test_a_fuldmagt_that_is_withdrawn_shows_nothing_from_the_next_request_on(demo: Demo) -> None:
    assert demo.observed("proxy-for-citizen-4") == {"citizen-4"}
    address = "Consent/proxy-for-citizen-4"
    given = demo.by("all").get(f"/fhir/{address}").content
    try:
        withdrawn = given.replace(b'"status":"active"', b'"status":"inactive"')
        assert withdrawn != given
        assert demo.write(rights.Request("PUT", address, withdrawn, rights.FHIR)).status_code == httpx.codes.OK
        assert demo.observed("proxy-for-citizen-4") == set(), "the token is the same, and has hours to live"
        assert demo.reads("proxy-for-citizen-4", demo.records["citizen-4"]) == httpx.codes.NOT_FOUND
    finally:
        assert demo.write(rights.Request("PUT", address, given, rights.FHIR)).status_code == httpx.codes.OK
    assert demo.observed("proxy-for-citizen-4") == {"citizen-4"}
