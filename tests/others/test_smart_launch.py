"""A SMART app that others wrote the client of (npm fhirclient), used by people in Chromium: both launches, refresh, log-out.

The app (`smart/`) stands on another site than the gateway, as apps do: what a browser's policies forbid, fails here.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from gateway.app.feeds import id_secret
from gateway.fhir.ids import Ids
from gateway.identity.local import issuer_address
from gateway.identity.people import PEOPLE, record
from gateway.search.standing import SOR
from tests.gateway import Gateway

SMART = Path(__file__).with_name("smart")
ASKED = "openid fhirUser launch offline_access patient/*.rs"
KEY = ECKey.generate_key("P-384")
APP = """
id = "test-app"
name = {{ da = "Måleapp", en = "Measurements app" }}
kind = "public"
redirect_uris = ["{app}/"]
launch_uri = "{app}/launch.html"
users = ["citizen", "staff"]
purposes = ["own", "treatment"]
scopes = ["openid", "fhirUser", "launch", "launch/patient", "offline_access", "online_access", "patient/*.rs", "user/*.rs"]
consent = "registered"
"""
RECORD = """
id = "health-record"
name = {{ da = "Journal", en = "Health record" }}
kind = "system"
scopes = ["system/Patient.rs"]
launches = ["test-app"]
algorithm = "ES384"
[[jwks.keys]]
{key}
"""
Use = Callable[..., dict[str, Any]]


class Quiet(SimpleHTTPRequestHandler):
    """Serves the app's files and says nothing."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("NOT RUN: no Chromium on this machine, no SMART app is launched")
    return found


@pytest.fixture(scope="module")
def folder(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app's files with fhirclient beside them, and what drives a browser."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("NOT RUN: no node on this machine, no SMART app is launched")
    made = tmp_path_factory.mktemp("smart")
    shutil.copytree(SMART, made, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    command = [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        pytest.skip(f"NOT RUN: fhirclient cannot be installed here: {done.stderr[-200:]}")
    shutil.copy(made / "node_modules/fhirclient/build/fhir-client.js", made)
    return made


@pytest.fixture(scope="module")
def app(folder: Path) -> Iterator[str]:
    """The app's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def gateway(app: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    clients = tmp_path_factory.mktemp("clients")
    public = {**KEY.as_dict(private=False), "kid": "one"}
    (clients / "app.toml").write_text(APP.format(app=app), "utf-8")
    (clients / "record.toml").write_text(
        RECORD.format(key="\n".join(f"{name} = {json.dumps(value)}" for name, value in public.items())), "utf-8"
    )
    with Gateway(tmp_path_factory.mktemp("gateway"), clients=clients, translators=1) as running:
        told = running.client().post("/fhir", json=world(running), headers={"content-type": "application/fhir+json"})
        assert told.status_code == 200, told.text
        yield running


@pytest.fixture(scope="module")
def use(gateway: Gateway, app: str, chromium: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Use:
    """Run a scenario of `people.mjs`; return what the app saw."""
    pictures = Path(os.environ.get("SUNDBRO_TEST_PICTURES", tmp_path_factory.mktemp("pictures")))
    pictures.mkdir(parents=True, exist_ok=True)
    base = f"http://{gateway.http}"

    def run(scenario: str, **asked: Any) -> dict[str, Any]:
        told = {
            "gateway": base,
            "app": app,
            "executablePath": chromium,
            "pictures": str(pictures),
            "name": uuid.uuid4().hex,
            **asked,
        }
        command = [str(shutil.which("node")), "people.mjs", scenario, json.dumps(told)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + gateway.printed()
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        for page in answer["pages"]:
            assert (page["scripts"], page["unlabelled"], page["wide"], len(page["headings"])) == (0, 0, False, 1), page
        return answer

    return run


def ids(gateway: Gateway) -> Ids:
    return Ids(id_secret(gateway.settings))


def patient(gateway: Gateway, name: str) -> str:
    """Return `Patient/<id>` of one of the local issuer's citizens."""
    return record(PEOPLE[name], ids(gateway))


def doctor(gateway: Gateway) -> str:
    """Return `Practitioner/<id>` of the doctor at OUH."""
    subject = PEOPLE["doctor-ouh"].actor(ids(gateway), issuer_address(gateway.settings)).subject
    return f"Practitioner/{subject}"


def world(gateway: Gateway) -> dict[str, Any]:
    """Return a transaction: three citizens with two measurements each; the first and the fourth are admitted to OUH."""
    resources: list[dict[str, Any]] = [
        {"resourceType": "Practitioner", "id": doctor(gateway).partition("/")[2], "active": True}
    ]
    for name in ("citizen-1", "citizen-2", "citizen-4"):
        who = patient(gateway, name)
        own = {"subject": {"reference": who}}
        family, given = PEOPLE[name].en.split(" ")[0], PEOPLE[name].en.split(" ")[1]
        resources.append(
            {"resourceType": "Patient", "id": who.partition("/")[2], "name": [{"family": family, "given": [given]}]}
        )
        resources += [
            {
                **own, "resourceType": "Observation", "id": f"{name}-{value}", "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}, "effectiveDateTime": f"2026-01-0{day}",
                "valueQuantity": {"value": value, "unit": "kg"},
            }
            for day, value in ((1, 71), (2, 72))
        ]  # fmt: skip
        if name != "citizen-2":
            resources.append(
                {
                    **own, "resourceType": "Encounter", "id": f"{name}-stay", "status": "in-progress",
                    "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
                    "period": {"start": time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())},
                    "serviceProvider": {"identifier": {"system": SOR, "value": PEOPLE["doctor-ouh"].organisation}},
                }
            )  # fmt: skip
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def alone(gateway: Gateway, app: str, scope: str) -> str:
    """Return the address at which a user opens the app by itself."""
    return f"{app}/launch.html?{httpx.QueryParams(iss=f'http://{gateway.http}/fhir', scope=scope)}"


def from_record(gateway: Gateway, **open_now: str) -> str:
    """Return where the health record opens the app: it signs for itself, and says what is open."""
    at = f"http://{gateway.http}/oauth/launch"
    claims = {
        "iss": "health-record",
        "sub": "health-record",
        "aud": at,
        "exp": int(time.time()) + 240,
        "jti": str(uuid.uuid4()),
    }
    form = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode({"alg": "ES384", "kid": "one"}, claims, KEY, algorithms=["ES384"]),
        "app": "test-app",
        **open_now,
    }
    answer = httpx.post(at, data=form)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["launch_url"])


def identified(gateway: Gateway, id_token: dict[str, Any] | None, raw: str) -> dict[str, Any]:
    """Return the claims of an ID token whose signature is the gateway's; fhirclient reads them unverified."""
    keys = KeySet.import_key_set(httpx.get(f"http://{gateway.http}/oauth/jwks").json())
    claims = dict(jwt.decode(raw, keys, algorithms=["RS256"]).claims)
    assert claims == id_token
    return claims


@pytest.mark.parametrize(
    ("locale", "who", "title", "words"),
    [
        (
            "da-DK",
            "Borger 1",
            "Giv adgang",
            ("Måleapp", "logget ind som Borger Et", "alle sundhedsoplysninger", "dine egne", "localhost"),
        ),
        (
            "en-GB",
            "Citizen 1",
            "Give access",
            ("Measurements app", "logged in as Borger Et", "all health data", "your own", "localhost"),
        ),
    ],
)
def test_a_citizen_opens_the_app_and_sees_himself_alone(
    gateway: Gateway, app: str, use: Use, locale, who, title, words
):
    own, other = patient(gateway, "citizen-1"), patient(gateway, "citizen-2")
    scope = "openid fhirUser launch/patient offline_access patient/*.rs"
    addresses = [own, "Patient", f"Observation?patient={own}&_sort=date", other, f"Observation?patient={other}"]
    addresses += ["Observation?_sort=date", "Observation/citizen-2-71"]
    told = use(
        "standalone", locale=locale, who=who, address=alone(gateway, app, scope), addresses=addresses,
        name=f"citizen-{locale[:2]}",
    )  # fmt: skip
    assert (told["status"], told["listed"]) == ("1 Citizen", ["71 kg", "72 kg"])
    assert told["complaints"] == [text for text in told["complaints"] if "404" in text], "only what does not exist"
    log_in, consent = told["pages"]
    assert (log_in["lang"], consent["lang"], consent["headings"]) == (locale[:2], locale[:2], [title])
    assert all(word in consent["text"] for word in words), consent["text"]
    response = told["response"]
    assert f"Patient/{response['patient']}" == f"Patient/{told['patient']}" == own
    assert set(response["scope"].split()) == set(scope.split())
    assert response["need_patient_banner"] is True
    claims = identified(gateway, told["idToken"], response["id_token"])
    assert (claims["aud"], claims["fhirUser"]) == ("test-app", f"http://{gateway.http}/fhir/{own}")
    mine = ["Observation/citizen-1-71", "Observation/citizen-1-72"]
    expected = [own.partition("/")[2], [own], mine, 404, [], mine, 404]
    assert told["answers"] == expected
    assert told["refreshed"] == {"access": True, "rotated": True}
    assert told["after"] == expected, "with the token that fhirclient refreshed"


@pytest.mark.parametrize(
    ("locale", "who", "asked"), [("en-GB", "Citizen 1", "your own data"), ("da-DK", "Læge, OUH", "Hvem gælder det?")]
)
def test_a_user_who_refuses_is_back_at_the_app_which_hears_it(gateway: Gateway, app: str, use: Use, locale, who, asked):
    address = alone(gateway, app, "launch/patient patient/*.rs")
    told = use("refused", locale=locale, who=who, address=address, name=f"refused-{locale[:2]}")
    assert asked in told["pages"][1]["text"], "a professional says whom he opens the app for"
    assert told["status"].startswith("failed: "), told
    assert "response" not in told


@pytest.mark.parametrize(
    ("scope", "another"), [(ASKED, 404), ("openid fhirUser launch online_access user/*.rs", "seen")]
)
def test_a_health_record_opens_the_app_for_a_doctor(gateway: Gateway, use: Use, scope: str, another: int | str):
    """patient/ scopes hold the app to whose record is open; user/ scopes open whom its user may see, and nobody else."""
    open_now, admitted, stranger = (patient(gateway, name) for name in ("citizen-1", "citizen-4", "citizen-2"))
    practitioner = doctor(gateway)
    address = from_record(
        gateway, patient=open_now, encounter="Encounter/citizen-1-stay", need_patient_banner="false",
        user=practitioner.partition("/")[2],
    )  # fmt: skip
    address += f"&{httpx.QueryParams(scope=scope)}"
    addresses = [open_now, admitted, stranger, f"Observation?patient={stranger}", "Encounter/citizen-1-stay"]
    told = use("ehr", locale="en-GB", who="Doctor at OUH", address=address, addresses=[*addresses, practitioner])
    assert (told["status"], told["listed"]) == ("1 Citizen", ["71 kg", "72 kg"])
    assert f"Patient/{told['patient']}" == open_now
    assert told["encounter"] == "citizen-1-stay"
    assert told["response"]["need_patient_banner"] is False
    claims = identified(gateway, told["idToken"], told["response"]["id_token"])
    assert claims["fhirUser"] == f"http://{gateway.http}/fhir/{practitioner}"
    assert told["fhirUser"].endswith(practitioner)
    first, second, *rest = told["answers"]
    assert first == open_now.partition("/")[2]
    assert second == (404 if another == 404 else admitted.partition("/")[2])
    *rest, user = rest
    assert rest == [404, [], "citizen-1-stay"]
    assert another == 404 or user == practitioner.partition("/")[2]


def test_a_launch_is_for_the_user_whom_the_record_names(gateway: Gateway, use: Use):
    address = from_record(gateway, patient=patient(gateway, "citizen-1"), user=doctor(gateway).partition("/")[2])
    told = use("ehr", locale="en-GB", who="Nurse at OUH", address=address, addresses=[])
    assert told["status"].startswith("failed: "), told
    assert "response" not in told


def test_log_out_at_the_gateway_ends_what_the_app_was_given(gateway: Gateway, app: str, use: Use):
    address = alone(gateway, app, "openid launch/patient online_access patient/*.rs")
    told = use("left", locale="da-DK", who="Borger 2", address=address)
    before = told["before"]
    assert (before["plain"], before["refreshed"], before["again"]) == (200, {"access": True, "rotated": True}, 200)
    assert "error" in told["after"], told
    assert told["plain"] == 401
    assert told["seconds"] < 61, told
