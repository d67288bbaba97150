"""The door out: key sets of partners, and every address that must not be asked (SSRF)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import Misconfigured, Unavailable
from gateway.identity.oauth.outbound import BYTES_MAX, KeySets, NotAllowedOut, Outbound, networks, public
from tests.oauth.world import jwks, world

HOST = "keys.partner.example"


def resolving(*addresses: str):
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return list(addresses)

    return resolve, asked


@pytest.mark.parametrize(
    "uri",
    [
        f"http://{HOST}/jwks",
        f"ftp://{HOST}/jwks",
        f"file:///{HOST}/jwks",
        f"//{HOST}/jwks",
        "https:///jwks",
        f"https://{HOST}:8443/jwks",
        f"https://{HOST}:99999/jwks",
        f"https://user@{HOST}/jwks",
        f"https://{HOST}@evil.example/jwks",
        f"https://evil.example#{HOST}",
        f"https://evil.example/?{HOST}",
        f"https://{HOST}.evil.example/jwks",
        f"https://evil-{HOST}/jwks",
        f"https://{HOST}./jwks",
        f"https://{HOST}\\@evil.example/",
        f"https://{HOST}/jwks\r\nx: y",
        f"https://{HOST}/ jwks",
        "https://kéys.partner.example/jwks",
        "https://127.0.0.1/jwks",
        "https://2130706433/jwks",
        "https://0x7f.1/jwks",
        "https://[::1]/jwks",
        "https://169.254.169.254/latest/meta-data/",
        "https://metadata.google.internal/",
        "https://localhost/jwks",
        "",
    ],
)
async def test_an_address_that_is_not_listed_is_not_even_looked_up(uri):
    resolve, asked = resolving("93.184.216.34")
    with pytest.raises(NotAllowedOut):
        await Outbound([HOST], resolve=resolve).json(uri)
    assert not asked


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:93.184.216.34", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:0:1::1"),
    ],
)
async def test_a_listed_host_that_leads_inside_is_not_connected_to(address):
    for found in ((address,), ("93.184.216.34", address)):
        resolve, _ = resolving(*found)
        with pytest.raises(NotAllowedOut):
            await Outbound([HOST], resolve=resolve).json(f"https://{HOST}/jwks")


def test_public_addresses_are_public():
    for text in ("93.184.216.34", "8.8.8.8", "2606:2800:220:1::1"):
        assert public(ipaddress.ip_address(text))


def test_networks_are_read_or_refused():
    assert networks("10.20.0.0/16, fd00::/8") == (
        ipaddress.ip_network("10.20.0.0/16"),
        ipaddress.ip_network("fd00::/8"),
    )
    with pytest.raises(Misconfigured):
        networks("10.20.0.1/16")


# ── a real server, at a real socket, over real TLS ───────────────────────────────────


def authority(folder: Path, *hosts: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(pem + own)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext, answers: list[bytes]):
    """An HTTPS server that answers one request after another; gives its port and the requests it got."""
    got: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # who asked has gone: that is what is tested
            got.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answers[min(len(got), len(answers)) - 1])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], got
    finally:
        server.close()


def said(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{lines}connection: close\r\n\r\n".encode() + body


def out(port: int, tls: ssl.SSLContext, host: str = HOST) -> tuple[Outbound, str]:
    resolve, _ = resolving("127.0.0.1")
    return Outbound(
        [f"{host}:{port}"], networks("127.0.0.0/8"), resolve=resolve, tls=tls
    ), f"https://{host}:{port}/jwks?x=1"


async def test_a_key_set_is_fetched_from_the_address_that_was_looked_at_under_the_name_that_was_asked(tmp_path):
    server, client = authority(tmp_path, HOST)
    body = json.dumps(jwks("ES384")).encode()
    async with serving(server, [said(body, cache_control="max-age=120, public")]) as (port, got):
        outbound, uri = out(port, client)
        fetched = await outbound.json(uri)
    assert fetched.document == jwks("ES384")
    assert fetched.seconds == 120
    assert got[0].startswith(b"GET /jwks?x=1 HTTP/1.1\r\n")
    assert f"host: {HOST}:{port}".encode() in got[0].lower()


async def test_a_server_of_another_name_is_not_believed(tmp_path):
    server, client = authority(tmp_path, "another.example")
    async with serving(server, [said(b"{}")]) as (port, got):
        outbound, uri = out(port, client)
        with pytest.raises(Unavailable):
            await outbound.json(uri)
    assert not got


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(b"", "302 Found", location="https://evil.example/"), Unavailable),
        (said(b"", "307 Temporary Redirect", location="http://127.0.0.1/"), Unavailable),
        (said(b"no", "404 Not Found"), Unavailable),
        (said(b"{}" + b" " * BYTES_MAX), NotAllowedOut),
        (said(b"<html>"), NotAllowedOut),
        (said(b"[" * 10_000), NotAllowedOut),
        (b"", Unavailable),
    ],
)
async def test_an_answer_that_is_no_small_json_document_is_no_key_set(tmp_path, answer, error):
    server, client = authority(tmp_path, HOST)
    async with serving(server, [answer]) as (port, got):
        outbound, uri = out(port, client)
        with pytest.raises(error):
            await outbound.json(uri)
    assert len(got) == 1


async def test_a_key_set_is_kept_and_made_up_kids_do_not_make_a_storm(tmp_path):
    server, client = authority(tmp_path, HOST)
    first, second = (said(json.dumps(jwks(name)).encode(), cache_control="max-age=300") for name in ("ES384", "ES256"))
    seconds = [1000.0]
    async with serving(server, [first, second]) as (port, got):
        outbound, uri = out(port, client)
        sets = KeySets(outbound, lambda: seconds[0])
        found = await asyncio.gather(*(sets.get(uri, "es384") for _ in range(8)))
        assert all(one == jwks("ES384") for one in found)
        await asyncio.gather(*(sets.get(uri, f"made-up-{n}") for n in range(50)))
        assert len(got) == 1
        seconds[0] += 31
        assert await sets.get(uri, "es384") == jwks("ES384")
        assert len(got) == 1
        assert await sets.get(uri, "es256") == jwks("ES256")  # the partner has a new key
        assert len(got) == 2


async def test_a_partner_whose_keys_are_elsewhere_gets_a_token(postgres_url, schema, tmp_path):
    server, client = authority(tmp_path, HOST)
    resolve, _ = resolving("127.0.0.1")
    body = json.dumps(jwks("ES384")).encode()
    async with serving(server, [said(body)]) as (port, _):

        class Here(Outbound):
            """The registered address has no port: it is served at another one here."""

            def _looked_at(self, uri: str) -> tuple[str, int, str]:
                host, _, path = super()._looked_at(uri)
                return host, port, path

        outbound = Here([HOST], networks("127.0.0.0/8"), resolve=resolve, tls=client)
        async with world(postgres_url, schema, tmp_path / "clients", outbound=outbound) as w:
            assert (await w.credentials("remote", "ES384")).status_code == 200
            named = w.assertion("remote", "ES384", {"jku": f"https://{HOST}/jwks"})
            form = {"grant_type": "client_credentials", "scope": "system/*.rs", **w.signed("remote", "ES384")}
            assert (await w.token(**{**form, "client_assertion": named})).status_code == 200
            foreign = w.assertion("remote", "ES384", {"jku": "https://evil.example/jwks"})
            assert (await w.token(**{**form, "client_assertion": foreign})).status_code == 401
