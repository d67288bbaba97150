"""Non-interference: two worlds that differ only in what a caller may not see answer him byte for byte the same.

The one test that matters most. Reads, searches with chains and `_has`, includes, order, totals, histories, operations,
pages, batches, and writes, which change both worlds alike. What is drawn by lot (ids of new resources, the seals of page
links) is drawn alike in both or left out of the comparison.
"""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.leaks import two_worlds
from tests.leaks.gateway import Gateway, Told, gateway
from tests.leaks.populated import KINDS
from tests.leaks.two_worlds import CALLERS
from tests.properties.test_search_law import questions

EXAMPLES = 400
_SEAL = re.compile(rb"_page=[A-Za-z0-9_-]+")
met: Counter[object] = Counter()


@pytest.fixture(scope="module")
def worlds(postgres_url):
    """A pair of gateways for each caller."""
    made = {}
    for number, (name, who) in enumerate(CALLERS.items()):
        slots = two_worlds.first_world(29 + number)
        others, different = two_worlds.second_world(slots, who, random.Random(number))
        assert different > 40, (name, different)
        assert len(two_worlds.visible(slots, who)) > 10, name
        pair = []
        for world in (slots, others):
            entered = gateway(postgres_url, at=two_worlds.AT)
            one = entered.__enter__()
            pair.append((entered, one))
            two_worlds.known(one)
            two_worlds.load(one, world)
        made[name] = pair
    yield {name: [one for _, one in pair] for name, pair in made.items()}
    for pair in made.values():
        for entered, _ in pair:
            entered.__exit__(None, None, None)


KIND = st.sampled_from(sorted(KINDS))
USUAL = st.sampled_from(["Observation", "Observation", "Encounter", "Patient", "Condition", "Appointment", "Consent", "Device", "Organization"])  # fmt: skip
NAME = st.builds("p{}".format, st.integers(0, 40))
COUNT = st.sampled_from(["", "&_count=1", "&_count=2", "&_count=5", "&_count=200"])
EXTRA = st.sampled_from([
    "", "", "", "&_total=accurate", "&_summary=count", "&_summary=true", "&_elements=status", "&_include=*", "&_revinclude=*",
    "&_include=*&_include:iterate=*", "&_revinclude=Observation:patient&_include:iterate=*", "&_revinclude:iterate=*", "&_total=estimate",
])  # fmt: skip
PATCHES = (
    b'[{"op":"test","path":"/status","value":"final"},{"op":"replace","path":"/status","value":"amended"}]',
    b'[{"op":"replace","path":"/subject/reference","value":"Patient/p3"}]',
    b'[{"op":"remove","path":"/meta/security"}]',
)


def quoted(pairs: list[tuple[str, str]]) -> str:
    from urllib.parse import urlencode

    return urlencode(pairs)


@st.composite
def readings(draw) -> tuple[str, str, object, dict]:
    kind, name = draw(USUAL), draw(NAME)
    path = draw(
        st.sampled_from(
            [f"/{kind}/{name}", f"/{kind}/{name}/_history", f"/{kind}/{name}/_history?_count=1", f"/{kind}/{name}/_history/1", f"/{kind}/{name}/_history/2",
             f"/{kind}/_history?_count=3", f"/{kind}/_history?_since=2026-03-28T01:10:00Z", "/_history?_count=4", "/_history?_at=2026-03-27",
             f"/Patient/{name}/$everything?_count=7", f"/Encounter/{name}/$everything", f"/Patient/{name}/{kind}", f"/Patient/{name}/*?_count=9",
             f"/Encounter/{name}/Observation", f"/Observation/$lastn?patient=Patient/{name}&max=2", f"/{kind}/{name}/$meta", f"/{kind}/$meta", "/$meta",
             f"/?_type=Patient,{kind if kind != 'Patient' else 'Observation'}&_count=6", f"/{kind}/{name}?_summary=true"]
        )
    )  # fmt: skip
    headers = draw(st.sampled_from([{}, {}, {"if-none-match": 'W/"1"'}, {"prefer": "handling=lenient"}]))
    return "GET", path, None, headers


@st.composite
def searches(draw) -> tuple[str, str, object, dict]:
    kind, pairs = draw(questions())
    rest = draw(COUNT) + draw(EXTRA)
    text = quoted(pairs)
    if draw(st.integers(0, 9)) == 0:
        return (
            "POST",
            f"/{kind}/_search",
            (text + rest).lstrip("&").encode(),
            {"content-type": "application/x-www-form-urlencoded"},
        )
    return "GET", f"/{kind}?{text}{rest}", None, {}


@st.composite
def plain_searches(draw) -> tuple[str, str, object, dict]:
    """Of every kind, of what decides about others, and by references into what is hidden."""
    kind, name = draw(KIND), draw(NAME)
    question = draw(
        st.sampled_from(
            ["", f"_id={name},p1,p2,p3", f"patient=Patient/{name}", "_sort=_id", "_sort=-_id", "_sort=-_lastUpdated", "_lastUpdated=gt2026-03-27T01:05:00Z",
             f"_has:Observation:patient:_id={name}", f"_has:Encounter:service-provider:patient={name}", "_has:Consent:actor:status=active", f"_list={name}",
             "_has:RelatedPerson:patient:active=true", f"subject:Patient._id={name}", "_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|V",
             "_security:not=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|V", "patient:missing=true", "_has:Provenance:target:_id=p1", "_content=x",
             "general-practitioner:Organization.name=o", "_has:Patient:general-practitioner:birthdate=gt2000", "patient.organization.name=o"]
        )
    )  # fmt: skip
    return "GET", f"/{kind}?{question}{draw(COUNT)}{draw(EXTRA)}", None, {}


@st.composite
def batches(draw) -> tuple[str, str, object, dict]:
    asked = draw(st.lists(st.one_of(readings(), plain_searches()), min_size=1, max_size=4))
    entries = [{"request": {"method": "GET", "url": path.lstrip("/")}} for _, path, _, _ in asked]
    return "POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries}, {}


@st.composite
def writes(draw) -> tuple[str, str, object, dict]:
    name, who = draw(NAME), draw(st.sampled_from(["p0", "p1", "p3", "p5", "nobody"]))
    content = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{who}"},
    }
    block = {
        "resourceType": "Consent", "id": name, "status": "active", "patient": {"reference": f"Patient/{who}"}, "policyRule": {"text": "x"},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"text": "x"}], "provision": {"type": "deny", "data": [{"meaning": "instance", "reference": {"reference": f"Observation/{name}"}}]},
    }  # fmt: skip
    headers = draw(
        st.sampled_from([{}, {"if-match": 'W/"1"'}, {"if-match": 'W/"2"'}, {"if-match": "*"}, {"if-none-match": "*"}])
    )
    patch = draw(st.sampled_from(PATCHES))
    exists = {
        "if-none-exist": draw(
            st.sampled_from([f"_id={name}", "status=final&patient=Patient/p1", "_security=V", "identifier=none"])
        )
    }
    linked = {
        **content,
        "performer": [
            {
                "reference": draw(
                    st.sampled_from(["Patient?identifier=1", "Patient?_id=p5", "Practitioner?identifier=1"])
                )
            }
        ],
    }
    json_patch = {"content-type": "application/json-patch+json"}
    return draw(
        st.sampled_from(
            [("PUT", f"/Observation/{name}", content, headers), ("PUT", f"/Consent/{name}", block, headers), ("PATCH", f"/Observation/{name}", patch, {**headers, **json_patch}),
             ("PATCH", f"/Condition/{name}", patch, {**headers, **json_patch}), ("DELETE", f"/Consent/{name}", None, headers), ("DELETE", f"/Observation/{name}", None, headers),
             ("POST", "/Observation", content, exists), ("POST", "/Observation", content, {}), ("POST", "/Observation", linked, {}), ("POST", "/Consent", block, {}),
             ("PUT", f"/Observation?_id={name}", content, {}), ("PUT", f"/Observation?patient=Patient/{who}&status=final", content, {}), ("DELETE", f"/Consent?patient=Patient/{who}", None, {}),
             ("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": content, "request": {"method": "PUT", "url": f"Observation/{name}"}}, {"request": {"method": "GET", "url": f"Observation?patient=Patient/{who}"}}]}, {}),
             ("POST", f"/Observation/{name}/$meta-add", {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "s", "code": "z"}]}}]}, {})]
        )
    )  # fmt: skip


REQUESTS = st.one_of(
    searches(), searches(), plain_searches(), plain_searches(), readings(), readings(), batches(), writes(), writes()
)


def bare(told: Told) -> tuple[int, dict[str, str], bytes]:
    headers = {name: value for name, value in told.headers.items() if name != "content-length"}
    return told.status, headers, _SEAL.sub(b"_page=", told.body)


@pytest.mark.timeout(1800)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(who=st.sampled_from(sorted(CALLERS)), request=REQUESTS, lot=st.integers(0, 1 << 40))
def test_worlds_that_differ_in_what_is_hidden_answer_the_same(worlds, who, request, lot):
    method = request[0]
    one, other = (_ask(world, who, request, lot) for world in worlds[who])
    assert bare(one) == bare(other), (who, request)
    assert one.status < 500, (who, request, one.body)
    met[who] += 1
    met[method, one.status] += 1
    found = one.json if one.status == 200 and one.body else {}
    met["entries", bool(found.get("entry"))] += 1
    for _ in range(3):
        if found.get("type") not in {"searchset", "history"} or not one.next:
            break
        # each world's own seal
        one, other = (world.get(who, told.next) for world, told in zip(worlds[who], (one, other), strict=True))
        assert bare(one) == bare(other), (who, request, "a further page")
        found = one.json
        met["pages"] += 1


def _ask(world: Gateway, who: str, request: tuple[str, str, object, dict], lot: int) -> Told:
    method, path, body, headers = request
    with pytest.MonkeyPatch.context() as patch:  # the ids of new resources are drawn alike
        patch.setattr("gateway.serve.perform.new_id", _drawn(lot))
        return world.ask(who, method, path, body, **headers)


def _drawn(lot: int):
    numbers = iter(range(1 << 30))
    return lambda _clock: f"drawn-{lot}-{next(numbers)}"


def test_it_met_something():
    assert sum(met[who] for who in CALLERS) >= EXAMPLES, met
    assert min(met[who] for who in CALLERS) > EXAMPLES / 20, met
    assert met["entries", True] > EXAMPLES / 10, met
    assert met["pages"] > EXAMPLES / 50, met
    for answer in (("GET", 200), ("GET", 404), ("POST", 200), ("POST", 201), ("PUT", 200), ("PUT", 404), ("PATCH", 404), ("DELETE", 204)):  # fmt: skip
        assert met[answer] > 0, (answer, met)
