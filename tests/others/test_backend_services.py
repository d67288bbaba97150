"""SMART Backend Services by clients that others wrote, against a whole gateway: authlib's, and PyPI's smart-fetch, a command in
an environment of its own (it brings pyarrow and botocore along); told as not run where it cannot be installed.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, RSAKey

from tests.gateway import Gateway
from tests.others.installing import environment

SMART_FETCH = "smart-fetch==1.0.3"
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
def smart_fetch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("smart-fetch") / "tool", SMART_FETCH) / "smart-fetch"


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


def fetched(
    gateway: Gateway, command: Path, key: ECKey | RSAKey, algorithm: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Have smart-fetch sign with a key, get a token and read `Patient/fetched`."""
    pem = folder / "key.pem"
    pem.write_bytes(key.as_pem(private=True))
    told = ["--fhir-url", f"http://{gateway.http}/fhir", "--smart-client-id", f"platform-{algorithm.lower()}"]
    asked = [str(command), "single", *told, "--smart-key", str(pem), "--compact", "Patient/fetched"]
    return subprocess.run(asked, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_smart_fetch_gets_a_token_and_a_patient(
    gateway: Gateway, keys, smart_fetch: Path, algorithm: str, tmp_path: Path
):
    patient = {"resourceType": "Patient", "id": "fetched", "active": True}
    with gateway.client() as client:
        assert client.put("/fhir/Patient/fetched", json=patient).is_success
    done = fetched(gateway, smart_fetch, keys[algorithm], algorithm, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr + gateway.printed()
    got = json.loads(done.stdout.splitlines()[-1])
    assert got | patient == got


def test_smart_fetch_with_another_key_gets_nothing(gateway: Gateway, smart_fetch: Path, tmp_path: Path):
    done = fetched(gateway, smart_fetch, ECKey.generate_key("P-384"), "ES384", tmp_path)
    assert done.returncode != 0
    assert "active" not in done.stdout


def test_the_capability_statement_says_where_tokens_come_from(gateway: Gateway):
    security = gateway.get("/fhir/metadata").json()["rest"][0]["security"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    uris = {one["url"]: one["valueUri"] for one in security["extension"][0]["extension"]}
    assert uris["token"] == gateway.get("/fhir/.well-known/smart-configuration").json()["token_endpoint"]
    assert gateway.get(uris["authorize"]).status_code == 400  # a page, for a request without a client
