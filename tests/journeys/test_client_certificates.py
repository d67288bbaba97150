"""Certificate-bound tokens (RFC 8705) at the gateway's own TLS door: real processes, real handshakes, a CA made here."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import ECKey

from tests.authority import Authority, Issued
from tests.gateway import Gateway
from tests.life import HOST, free_port
from tests.oauth.world import ASSERTION, system, toml

KEY = ECKey.generate_key("P-256", {"kid": "es256"})


@dataclass(frozen=True)
class House:
    gateway: Gateway
    https: str
    ca: Authority
    own: Issued
    other: Issued
    alone: Issued
    """A self-signed certificate that the gateway knows."""

    def client(self, issued: Issued | None = None, *, plain: bool = False) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.ca.certificate))
        context.check_hostname = False  # of this machine by its number
        if issued is not None:
            context.load_cert_chain(issued.certificate, issued.key)
        base = f"http://{self.gateway.http}" if plain else f"https://{self.https}"
        return httpx.Client(base_url=base, verify=context, timeout=30)

    def token(self, client: httpx.Client, **headers: str) -> httpx.Response:
        at = f"https://{self.https}/oauth/token"
        told = {"iss": "mtls-system", "sub": "mtls-system", "aud": at, "exp": int(time.time()) + 240}
        head = {"alg": "ES256", "kid": "es256", "typ": "JWT"}
        assertion = jwt.encode(head, {**told, "jti": str(uuid.uuid4())}, KEY, algorithms=["ES256"])
        form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": ASSERTION}
        return client.post("/oauth/token", data={**form, "client_assertion": assertion}, headers=headers)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("certificates")
    ca, clients = Authority(folder, "ca"), tmp_path_factory.mktemp("clients")
    server, alone = ca.issue("gateway"), ca.self_signed("alone")
    trusted = folder / "trusted.pem"
    trusted.write_bytes(ca.certificate.read_bytes() + alone.certificate.read_bytes())
    lines = system("mtls-system", "ES256", binding="mtls", jwks={"keys": [KEY.as_dict(private=False)]})
    (clients / "mtls-system.toml").write_text(toml(lines), "utf-8")
    https = f"{HOST}:{free_port()}"
    with Gateway(
        tmp_path_factory.mktemp("gateway"),
        https=https,
        tls_certificate=server.certificate,
        tls_key=server.key,
        https_client_ca=trusted,
        clients=clients,
        trusted_proxies="10.0.0.0/8",
        servers=2,
        translators=1,
    ) as gateway:
        yield House(gateway, https, ca, ca.issue("partner"), ca.issue("thief"), alone)


def thumbprint(issued: Issued) -> str:
    der = x509.load_pem_x509_certificate(issued.certificate.read_bytes()).public_bytes(Encoding.DER)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def confirmation(token: str) -> dict[str, str]:
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["cnf"])


def looks(client: httpx.Client, token: str, **headers: str) -> int:
    return client.get("/fhir/Patient?_count=1", headers={"authorization": f"Bearer {token}", **headers}).status_code


@pytest.mark.parametrize("which", ["own", "alone"])
def test_a_token_holds_on_connections_of_its_certificate_alone(house: House, which: str) -> None:
    """A stolen token is worth nothing: not with another certificate, not with none, not with the right one in a header."""
    issued: Issued = getattr(house, which)
    forged = {"client-cert": quote(issued.certificate.read_text())}
    with house.client(issued) as client:
        answer = house.token(client)
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        assert confirmation(token) == {"x5t#S256": thumbprint(issued)}
        assert looks(client, token) == 200
    for _ in range(4):  # the kernel deals these out to both processes
        with house.client(issued) as another_connection:
            assert looks(another_connection, token) == 200
        for stranger in (house.client(house.other), house.client(), house.client(plain=True)):
            with stranger:
                assert looks(stranger, token) == 401
                assert looks(stranger, token, **forged) == 401


def test_nothing_is_given_to_a_client_bound_to_certificates_that_shows_none(house: House) -> None:
    forged = {"client-cert": quote(house.own.certificate.read_text())}
    for bare in (house.client(), house.client(plain=True)):
        with bare:
            for headers in ({}, forged):
                answer = house.token(bare, **headers)
                assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    with house.client() as client:  # who needs none is served without
        assert client.get("/fhir/metadata").status_code == 200


def test_a_certificate_that_the_gateway_does_not_know_is_turned_away(house: House, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "other")
    for issued in (stranger.issue("partner"), stranger.self_signed("unknown")):
        with house.client(issued) as client, pytest.raises(httpx.TransportError):
            client.get("/livez")


def test_a_door_may_demand_a_certificate_of_everybody(house: House) -> None:
    house.gateway.environment["SUNDBRO_HTTPS_CLIENT_CERTIFICATE"] = "required"
    house.gateway.stop()
    house.gateway.start()
    with house.client() as client, pytest.raises(httpx.TransportError):
        client.get("/livez")
    with house.client(house.own) as client:
        assert client.get("/livez").status_code == 200
