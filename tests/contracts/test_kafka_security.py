"""TLS with client certificates and SASL, against a broker that demands both."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway import errors
from gateway.backbone.kafka import KafkaBackbone
from gateway.backbone.port import TopicSpec
from gateway.model import Record
from tests.kafka.broker import HOST, Broker, existing, free_port
from tests.kafka.fixtures import missing
from tests.kafka.jars import NoBrokerError

pytestmark = pytest.mark.kafka
USER, PASSWORD = "gateway", secrets.token_hex(8)


@dataclass
class Secure:
    address: str
    certificates: Path


def certificate(folder: Path, name: str) -> None:
    """Write name.crt and name.key (self-signed, for 127.0.0.1), and name.pem with both, as the broker wants it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{name}.crt").write_bytes(text)
    (folder / f"{name}.key").write_bytes(private)
    (folder / f"{name}.pem").write_bytes(private + text)


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    if existing():
        missing("the broker of SUNDBRO_TEST_KAFKA is not ours to configure")
    for name in ("broker", "client"):
        certificate(tmp_path, name)
    broker, port = Broker(), free_port()
    controller = f"CONTROLLER://{HOST}:{broker.voters[broker.node]}"
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    broker.settings |= {
        "listeners": f"PLAINTEXT://{broker.address},SECURE://{HOST}:{port},{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker.address},SECURE://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": f'{login} user_{USER}="{PASSWORD}";',
        "listener.name.secure.ssl.keystore.type": "PEM",
        "listener.name.secure.ssl.keystore.location": str(tmp_path / "broker.pem"),
        "listener.name.secure.ssl.truststore.type": "PEM",
        "listener.name.secure.ssl.truststore.location": str(tmp_path / "client.crt"),
        "listener.name.secure.ssl.client.auth": "required",
    }
    try:
        async with broker:
            yield Secure(f"{HOST}:{port}", tmp_path)
    except NoBrokerError as failure:
        missing(str(failure))


async def test_tls_with_a_client_certificate_and_sasl_reaches_a_broker_that_demands_them(secure: Secure) -> None:
    settings: dict[str, Any] = {
        "replication_factor": 1,
        "min_insync_replicas": 1,
        "security_protocol": "SASL_SSL",
        "ssl_ca_file": str(secure.certificates / "broker.crt"),
        "ssl_certificate_file": str(secure.certificates / "client.crt"),
        "ssl_key_file": str(secure.certificates / "client.key"),
        "sasl_mechanism": "PLAIN",
        "sasl_username": USER,
        "sasl_password": PASSWORD,
    }
    client = KafkaBackbone(secure.address, **settings)
    await client.start()
    await client.ensure([TopicSpec("raw.hospital", 1)])
    (position,) = await client.append([Record("raw.hospital", b"lane", b"v")])
    found = await client.read(position)
    await client.stop()
    assert found is not None
    assert found.record.value == b"v"
    certificate(secure.certificates, "stranger")
    for wrong in (
        {"sasl_password": "wrong"},
        {"ssl_ca_file": str(secure.certificates / "stranger.crt")},
        {
            "ssl_certificate_file": str(secure.certificates / "stranger.crt"),
            "ssl_key_file": str(secure.certificates / "stranger.key"),
        },
        {"security_protocol": "PLAINTEXT"},
    ):
        refused = KafkaBackbone(secure.address, **{**settings, **wrong})
        with pytest.raises(errors.Unavailable):
            await refused.start()
        await refused.stop()
