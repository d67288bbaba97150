"""MLLP over TLS: a certificate is the only proof of who sends. Certificates are made here."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gateway.app import tls
from gateway.errors import Misconfigured
from gateway.observe import events
from gateway.receive.mllp import Listener
from tests.authority import Authority, Issued
from tests.contracts.doors import HOSPITAL, condition, doors, feed_with, message, sender, verdict


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


def client(ca: Authority, own: Issued | None = None) -> dict:
    context = ssl.create_default_context(cafile=str(ca.certificate))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return {"ssl": context, "server_hostname": "localhost"}


def listener(ca: Authority, *, required: bool = False, feed: str = "") -> Listener:
    server = ca.issue("gateway")
    context = tls.context("MLLP", server.certificate, server.key, ca.certificate, required=required)
    return Listener("127.0.0.1", 0, context, feed)


async def test_tls_without_a_client_certificate_carries_a_feed_that_asks_for_none(postgres_url: str, ca: Authority):
    async with doors(postgres_url) as house:
        async with sender(await house.open_mllp(listener(ca)), **client(ca)) as lis:
            assert await lis.ask(message("1")) == ("AA", "1")
            assert await lis.ask(message("2", text="x" * 200_000)) == ("AA", "2")
        assert len(await house.written()) == 2


async def test_a_feed_with_mutual_tls_takes_nothing_without_a_certificate(postgres_url: str, ca: Authority):
    async with doors(postgres_url, feed_with(HOSPITAL, mutual_tls=True)) as house:
        address = await house.open_mllp(listener(ca), Listener("127.0.0.1", 0))
        assert house.mllp is not None
        async with sender(address, **client(ca)) as lis:
            lis.send(message("1"))
            answer = await lis.answer()
            assert verdict(answer) == ("AR", "1")
            assert condition(answer) == "207"
        async with sender(house.mllp.addresses[1]) as plain:
            assert await plain.ask(message("2")) == ("AR", "2")
        assert await house.written() == []
        async with sender(address, **client(ca, ca.issue("lis"))) as lis:
            assert await lis.ask(message("3")) == ("AA", "3")
        assert [raw.control_id for raw in await house.written()] == ["3"]


async def test_a_certificate_decides_the_feed_whatever_msh_says(postgres_url: str, ca: Authority):
    lab = feed_with(HOSPITAL, name="lab", mllp_certificates=["lis.example.org"], mllp_senders=["LIS|*"])
    adt = feed_with(HOSPITAL, name="adt", mllp_certificates=["CN=epj.example.org,O=Region,C=DK"])
    rest = feed_with(HOSPITAL, name="rest")
    async with doors(postgres_url, lab, adt, rest) as house:
        address = await house.open_mllp(listener(ca))
        async with sender(address, **client(ca, ca.issue("epj.example.org"))) as epj:
            assert await epj.ask(message("1")) == ("AA", "1")  # MSH-3 says LIS
        async with sender(address, **client(ca, ca.issue("lis.example.org"))) as lis:
            assert await lis.ask(message("2")) == ("AA", "2")
            assert await lis.ask(message("3", msh3="EPJ")) == ("AR", "3")  # its feed names its senders
        async with sender(address, **client(ca)) as nobody:
            assert await nobody.ask(message("4")) == ("AA", "4")
        assert [raw.control_id for raw in await house.written("adt")] == ["1"]
        assert [raw.control_id for raw in await house.written("lab")] == ["2"]
        assert [raw.control_id for raw in await house.written("rest")] == ["4"]


async def test_a_certificate_of_another_authority_is_turned_away(postgres_url: str, ca: Authority, tmp_path: Path):
    other = Authority(tmp_path, "other")
    async with doors(postgres_url) as house:
        address = await house.open_mllp(listener(ca))
        with pytest.raises((ConnectionError, ssl.SSLError, EOFError)):
            async with sender(address, **client(ca, other.issue("lis"))) as lis:
                await lis.ask(message("1"))
        assert await house.written() == []


async def test_a_listener_may_demand_a_certificate_of_everybody(postgres_url: str, ca: Authority):
    async with doors(postgres_url) as house:
        address = await house.open_mllp(listener(ca, required=True))
        with pytest.raises((ConnectionError, ssl.SSLError, EOFError)):
            async with sender(address, **client(ca)) as lis:
                await lis.ask(message("1"))
        async with sender(address, **client(ca, ca.issue("lis"))) as lis:
            assert await lis.ask(message("2")) == ("AA", "2")


async def test_plain_bytes_on_the_tls_port_harm_nobody(postgres_url: str, ca: Authority):
    async with doors(postgres_url) as house:
        address = await house.open_mllp(listener(ca))
        async with sender(address) as plain:
            plain.send(message("1"))
            await plain.closed()
        async with sender(address, **client(ca)) as lis:
            assert await lis.ask(message("2")) == ("AA", "2")
        assert house.heard(events.RoleCrashed) == []


async def test_a_listener_bound_to_a_feed_asks_no_further(postgres_url: str):
    lab, adt = feed_with(HOSPITAL, name="lab", mllp_senders=["LIS|*"]), feed_with(HOSPITAL, name="adt")
    async with doors(postgres_url, lab, adt) as house:
        async with sender(await house.open_mllp(Listener("127.0.0.1", 0, feed="adt"))) as lis:
            assert await lis.ask(message("1")) == ("AA", "1")
        assert [raw.control_id for raw in await house.written("adt")] == ["1"]


def test_certificate_files_that_cannot_be_used_refuse_to_start(tmp_path: Path, ca: Authority):
    with pytest.raises(Misconfigured):
        tls.context("MLLP", tmp_path / "none.pem", tmp_path / "none.key", None)
    server = ca.issue("gateway")
    with pytest.raises(Misconfigured):
        tls.context("MLLP", server.certificate, ca.issue("another").key, None)
