"""SMART Backend Services by the client that smart-fetch is built on (PyPI cumulus-fhir-support), against a whole gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.gateway import Gateway

support = pytest.importorskip("cumulus_fhir_support", reason="not run: cumulus-fhir-support is not installed")

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


@pytest.mark.parametrize("algorithm", ["RS384", "ES384", "ES256"])
async def test_the_client_finds_the_token_endpoint_signs_and_reads(gateway: Gateway, keys, algorithm: str):
    base = f"http://{gateway.http}/fhir/"
    pem = keys[algorithm].as_pem(private=True).decode()
    name = f"platform-{algorithm.lower()}"
    async with support.FhirClient(base, ["Patient", "Observation"], smart_client_id=name, smart_pem=pem) as client:
        answer = await client.request("GET", "Patient?_count=1")
        assert answer.json()["resourceType"] == "Bundle"
        with pytest.raises(Exception, match="403"):
            await client.request("GET", "Encounter?_count=1")


async def test_another_key_gets_nothing(gateway: Gateway, keys):
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
