"""Settings: environment over file over default; what does not exist is refused; secrets stay out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import settings
from gateway.app import tls
from gateway.app.run import refuse_unsafe
from gateway.errors import Misconfigured
from tests.authority import Authority


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "sundbro.toml").write_text('http = "127.0.0.1:1"\nmllp = "127.0.0.1:2"\n')
    read = settings.load({"SUNDBRO_DATA": str(tmp_path), "SUNDBRO_HTTP": "127.0.0.1:3"})
    assert (read.http, read.mllp) == ("127.0.0.1:3", "127.0.0.1:2")


@pytest.mark.parametrize("name", ["SUNDBRO_HTP", "SUNDBRO_KAFKA_SERVERS"])
def test_a_misspelt_setting_is_refused_by_name(name: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        settings.load({name: "x"})


def test_a_wrong_value_is_refused_without_being_repeated() -> None:
    with pytest.raises(Misconfigured) as refused:
        settings.load({"SUNDBRO_PARTITIONS": "s3cret"})
    assert "SUNDBRO_PARTITIONS" in refused.value.text
    assert "s3cret" not in refused.value.text


def test_secrets_are_masked_at_start() -> None:
    shown = settings.load(
        {"SUNDBRO_DATABASE_URL": "postgresql://u:s3cret@h/d", "SUNDBRO_ID_SECRET": "ab" * 32}
    ).masked()
    assert "s3cret" not in str(shown)
    assert "abab" not in str(shown)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(Misconfigured, match="serv"):
        settings.load({"SUNDBRO_ROLES": "receive,serv"})


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"SUNDBRO_MLLP": "0.0.0.0:2575"}, "MLLP"),
        ({"SUNDBRO_PUBLIC_URL": "http://gw.example"}, "PUBLIC_URL"),
        ({"SUNDBRO_KAFKA": "k:9092"}, "PLAINTEXT"),
        ({"SUNDBRO_KAFKA": "k:9092", "SUNDBRO_KAFKA_SECURITY": "SSL"}, "REPLICATION"),
    ],
)
def test_production_refuses_values_that_are_for_development(given: dict[str, str], word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        refuse_unsafe(settings.load({"SUNDBRO_ENVIRONMENT": "production", **given}))
    refuse_unsafe(settings.load(given))


@pytest.mark.parametrize("address", ["127.0.0.1", "nonsense", ":8080", "host:port", "127.0.0.1:8080/x", "::1"])
@pytest.mark.parametrize("name", ["SUNDBRO_HTTP", "SUNDBRO_HTTPS", "SUNDBRO_MLLP", "SUNDBRO_MLLP_TLS"])
def test_an_address_without_host_and_port_is_refused_before_anything_starts(name: str, address: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name}: .*host:port"):
        settings.load({name: address})


def test_addresses_are_hosts_and_ports_and_the_mllp_doors_may_be_closed() -> None:
    read = settings.load({"SUNDBRO_HTTP": "[::1]:8080", "SUNDBRO_MLLP": "", "SUNDBRO_MLLP_TLS": "gateway.example:2576"})
    assert (read.http, read.mllp, read.mllp_tls) == ("[::1]:8080", "", "gateway.example:2576")


def test_callers_reach_the_gateway_at_the_door_over_tls_where_there_is_one() -> None:
    given = {"SUNDBRO_HTTP": "a:1", "SUNDBRO_HTTPS": "b:2", "SUNDBRO_PUBLIC_URL": "https://c/"}
    assert settings.load(given).address() == "https://c"
    assert settings.load({**given, "SUNDBRO_PUBLIC_URL": ""}).address() == "https://b:2"
    assert settings.load({"SUNDBRO_HTTP": "a:1"}).address() == "http://a:1"


@pytest.mark.parametrize(
    "given",
    [
        {"SUNDBRO_HTTPS": "a:1"},
        {"SUNDBRO_HTTPS": "a:1", "SUNDBRO_TLS_CERTIFICATE": "c.pem"},
        {"SUNDBRO_HTTPS_CLIENT_CA": "ca.pem"},
        {"SUNDBRO_HTTPS_CLIENT_CERTIFICATE": "required"},
    ],
)
def test_a_tls_door_that_could_not_keep_what_it_promises_does_not_open(given: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="SUNDBRO_HTTPS"):
        tls.of_https(settings.load(given))


def test_a_certificate_can_be_required_only_where_it_is_said_of_whom(tmp_path: Path) -> None:
    server = Authority(tmp_path, "ca").issue("gateway")
    files = {"SUNDBRO_TLS_CERTIFICATE": str(server.certificate), "SUNDBRO_TLS_KEY": str(server.key)}
    given = {"SUNDBRO_HTTPS": "a:1", "SUNDBRO_HTTPS_CLIENT_CERTIFICATE": "required", **files}
    with pytest.raises(Misconfigured, match="SUNDBRO_HTTPS_CLIENT_CA"):
        tls.of_https(settings.load(given))


def test_a_misspelt_setting_is_told_in_words() -> None:
    with pytest.raises(Misconfigured, match="SUNDBRO_HTPP: there is no such setting"):
        settings.load({"SUNDBRO_HTPP": "x"})
