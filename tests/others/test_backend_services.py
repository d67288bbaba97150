"""SMART Backend Services by clients that others wrote, against a whole gateway: authlib's; where they are installed, PyPI
smart-fetch (a command; it brings pyarrow and botocore along) and what it is built on (PyPI cumulus-fhir-support).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, RSAKey

from tests.gateway import Gateway

CLIENT = """
id = "{id}"
name = {{ da = "Dataplatform", en = "Data platform" }}
kind = "system"
algorithm = "{algorithm}"
scopes = ["system/Patient.rs", "system/Observation.rs"]
[[jwks.keys]]
{key}
"""


def registered(folder: Path, name: str, algorithm: str, key: ECKey | RSAKey) -> None:
    public = {**key.as_dict(private=False), "kid": key.thumbprint()}
    lines = "\n".join(f'{part} = "{value}"' for part, value in public.items() if isinstance(value, str))
    (folder / f"{name}.toml").write_text(CLIENT.format(id=name, algorithm=algorithm, key=lines), "utf-8")


@pytest.fixture(scope="module")
def keys() -> dict[str, ECKey | RSAKey]:
    return {
        "RS384": RSAKey.generate_key(2048),
        "ES384": ECKey.generate_key("P-384"),
        "ES256": ECKey.generate_key("P-256"),
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, ECKey | RSAKey]):
    clients = tmp_path_factory.mktemp("clients")
    for algorithm, key in keys.items():
        registered(clients, f"platform-{algorithm.lower()}", algorithm, key)
    with Gateway(tmp_path_factory.mktemp("gateway"), clients=clients) as running:
        yield running


@pytest.fixture(scope="module")
def support() -> Any:
    return pytest.importorskip("cumulus_fhir_support", reason="NOT RUN: cumulus-fhir-support is not installed")


def asking(gateway: Gateway, key: ECKey | RSAKey, algorithm: str, kid: str, scope: str) -> OAuth2Client:
    """Return authlib's client with a token, as its documentation says: the token endpoint found, the request signed."""
    base = f"http://{gateway.http}/fhir"
    endpoint = httpx.get(f"{base}/.well-known/smart-configuration").json()["token_endpoint"]
    # by itself it signs for an hour: SMART takes five minutes
    auth = PrivateKeyJWT(endpoint, claims={"exp": int(time.time()) + 300}, headers={"kid": kid}, alg=algorithm)
    client = OAuth2Client(f"platform-{algorithm.lower()}", key, scope=scope, base_url=base, timeout=30)
    client.register_client_auth_method(auth)
    client.token_endpoint_auth_method = auth.name
    client.fetch_token(endpoint, grant_type="client_credentials")
    return client


@pytest.mark.parametrize("algorithm", ["RS384", "ES384", "ES256"])
def test_authlib_signs_gets_a_token_and_reads_what_it_is_registered_for(gateway: Gateway, keys, algorithm: str):
    key = keys[algorithm]
    asked = "system/Patient.rs system/Encounter.rs"
    with contextlib.closing(asking(gateway, key, algorithm, key.thumbprint(), asked)) as client:
        assert client.token["scope"] == "system/Patient.rs", "less than was asked for"
        assert "refresh_token" not in client.token
        found = client.get("Patient", params={"_count": 1})
        assert (found.status_code, found.json()["resourceType"]) == (200, "Bundle")
        assert [client.get(kind).status_code for kind in ("Observation", "Encounter")] == [403, 403]


def test_authlib_with_another_key_gets_nothing(gateway: Gateway, keys):
    kid = keys["ES384"].thumbprint()
    with pytest.raises(OAuthError, match="invalid_client"):
        asking(gateway, ECKey.generate_key("P-384"), "ES384", kid, "system/Patient.rs")


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_smart_fetch_gets_a_patient(gateway: Gateway, keys, algorithm: str, tmp_path: Path):
    command = shutil.which("smart-fetch")
    if not command:
        pytest.skip("NOT RUN: there is no smart-fetch on this machine's PATH")
    pem = tmp_path / "key.pem"
    pem.write_bytes(keys[algorithm].as_pem(private=True))
    patient = {"resourceType": "Patient", "id": "fetched", "active": True}
    with gateway.client() as client:
        assert client.put("/fhir/Patient/fetched", json=patient).is_success
    told = ["--fhir-url", f"http://{gateway.http}/fhir", "--smart-client-id", f"platform-{algorithm.lower()}"]
    command_line = [command, "single", *told, "--smart-key", str(pem), "--compact"]
    done = subprocess.run(
        [*command_line, "Patient/fetched"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr + gateway.printed()
    got = json.loads(done.stdout.splitlines()[-1])
    assert got | patient == got


@pytest.mark.parametrize("algorithm", ["RS384", "ES384", "ES256"])
async def test_the_client_finds_the_token_endpoint_signs_and_reads(gateway: Gateway, support, keys, algorithm: str):
    base = f"http://{gateway.http}/fhir/"
    pem = keys[algorithm].as_pem(private=True).decode()
    name = f"platform-{algorithm.lower()}"
    async with support.FhirClient(base, ["Patient", "Observation"], smart_client_id=name, smart_pem=pem) as client:
        answer = await client.request("GET", "Patient?_count=1")
        assert answer.json()["resourceType"] == "Bundle"
        with pytest.raises(Exception, match="403"):
            await client.request("GET", "Encounter?_count=1")


async def test_another_key_gets_nothing(gateway: Gateway, support, keys):
    base, other = f"http://{gateway.http}/fhir/", ECKey.generate_key("P-384").as_pem(private=True).decode()
    with pytest.raises(support.AuthFailed):
        async with support.FhirClient(base, ["Patient"], smart_client_id="platform-es384", smart_pem=other) as client:
            await client.request("GET", "Patient?_count=1")


def test_the_capability_statement_says_where_tokens_come_from(gateway: Gateway):
    security = gateway.get("/fhir/metadata").json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    uris = {one["url"]: one["valueUri"] for one in security["extension"][0]["extension"]}
    assert uris["token"] == gateway.get("/fhir/.well-known/smart-configuration").json()["token_endpoint"]
    assert gateway.get(uris["authorize"]).status_code == 400  # a page, for a request without a client
