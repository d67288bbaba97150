"""Registrations: what a file must say, and what the gateway does when it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from gateway.access import Assurance, Kind, Purpose
from gateway.app import clients
from gateway.app.oauth import SAMPLES, clients_of
from gateway.errors import Misconfigured
from gateway.identity.oauth import registration
from gateway.identity.oauth.client import Binding, Sort
from gateway.identity.oauth.registration import ClientFile, Registry, read
from gateway.settings import Settings
from tests.oauth.world import KEYS, app, jwks, system, toml

ROOT = Path(__file__).resolve().parents[2]


def written(folder: Path, lines: dict, name: str = "client.toml") -> Path:
    path = folder / name
    path.write_text(toml({key: value for key, value in lines.items() if value is not None}), "utf-8")
    return path


def test_a_file_is_a_client(tmp_path):
    given = app(
        "an-app",
        launch_uri="https://app.example/launch",
        purposes=["own", "vaerdispring"],
        assurance="high",
        binding="dpop",
    )
    client = read(written(tmp_path, given))
    assert (client.id, client.sort, client.binding, client.assurance) == (
        "an-app",
        Sort.PUBLIC,
        Binding.DPOP,
        Assurance.HIGH,
    )
    assert client.users == {Kind.CITIZEN, Kind.STAFF}
    assert client.purposes == (Purpose.OWN, Purpose.VAERDISPRING)
    assert client.title("da") == "an-app på dansk"
    assert client.origins == {"https://app.example"}


def rsa(bits: int) -> dict:
    return {"keys": [RSAKey.generate_key(bits, {"kid": "k"}).as_dict(private=False)]}


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (app("x"), "id"),
        (app("a b"), "id"),
        (app("an-app", name={"da": "x"}), "name"),
        (app("an-app", kind="god"), "kind"),
        (app("an-app", redirct_uris=[]), "redirct_uris"),
        (app("an-app", redirect_uris=[]), "redirect_uris"),
        (app("an-app", users=[]), "users"),
        (app("an-app", redirect_uris=["http://app.example/"]), "redirect_uris"),
        (app("an-app", redirect_uris=["https://app.example/#x"]), "redirect_uris"),
        (app("an-app", redirect_uris=["https://*.example/"]), "redirect_uris"),
        (app("an-app", redirect_uris=["https://u:p@app.example/"]), "redirect_uris"),
        (app("an-app", redirect_uris=["https:///cb"]), "redirect_uris"),
        (app("an-app", redirect_uris=["javascript:alert(1)"]), "redirect_uris"),
        (app("an-app", redirect_uris=["data:text/html,x"]), "redirect_uris"),
        (app("an-app", redirect_uris=['https://app.example/"']), "redirect_uris"),
        (app("an-app", redirect_uris=["https://[::1/"]), "redirect_uris"),
        (
            app("an-app", kind="confidential", algorithm="ES256", jwks=jwks("ES256"), redirect_uris=["dk.example:/"]),
            "redirect",
        ),
        (app("an-app", launch_uri="http://app.example/"), "launch_uri"),
        (app("an-app", scopes=["patient/*.dus"]), "scopes"),
        (app("an-app", scopes=["system/*.rs"]), "scopes"),
        (app("an-app", scopes=[]), "scopes"),
        (app("an-app", jwks=jwks("ES256")), "jwks"),
        (app("an-app", exchanges=["another"]), "public"),
        (app("an-app", introspects=True), "public"),
        (app("an-app", users=["citizen"], purposes=["treatment"]), "purposes"),
        (app("an-app", lifetime_seconds=7200), "lifetime_seconds"),
        (app("an-app", assurance="none"), "assurance"),
        (app("an-app", kind="confidential"), "algorithm"),
        (system("a-system", "ES256", scopes=["user/*.rs"]), "scopes"),
        (system("a-system", "ES256", scopes=["openid"]), "scopes"),
        (system("a-system", "ES256", redirect_uris=["https://x.example/"]), "system"),
        (system("a-system", "ES256", algorithm="RS256"), "algorithm"),
        (system("a-system", "ES256", algorithm="none"), "algorithm"),
        (system("a-system", "ES256", algorithm="ES384"), "jwks"),
        (system("a-system", "ES256", jwks=None), "jwks"),
        (system("a-system", "ES256", jwks_uri="https://x.example/jwks"), "jwks"),
        (system("a-system", "ES256", jwks=None, jwks_uri="http://x.example/jwks"), "jwks_uri"),
        (system("a-system", "ES256", jwks={"keys": []}), "jwks"),
        (system("a-system", "ES256", jwks={"keys": "x"}), "jwks"),
        (system("a-system", "ES256", jwks={"keys": [KEYS["ES256"].as_dict(private=True)]}), "private"),
        (system("a-system", "ES256", jwks={"keys": [ECKey.generate_key("P-256").as_dict(private=False)]}), "kid"),
        (
            system("a-system", "ES256", jwks={"keys": [{"kty": "EC", "crv": "P-256", "kid": "k", "x": "A", "y": "A"}]}),
            "read",
        ),
        (system("a-system", "PS256", jwks=rsa(1024)), "2048"),
        (system("a-system", "ES256", purposes=["treatment"]), "purposes"),
        (system("a-system", "ES256", organisation="Region"), "organisation"),
    ],
)
def test_a_file_that_cannot_be_used_says_which_line(tmp_path, lines, word):
    path = written(tmp_path, lines)
    with pytest.raises(Misconfigured) as error:
        read(path)
    assert word in error.value.text
    assert "client.toml" in error.value.text
    with pytest.raises(Misconfigured):
        Registry(tmp_path)


def test_what_is_not_toml_is_said(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff = [")
    with pytest.raises(Misconfigured):
        Registry(tmp_path)


def test_a_folder_is_taken_whole(tmp_path):
    written(tmp_path, app("an-app"), "a.toml")
    written(tmp_path, app("an-app"), "b.toml")
    with pytest.raises(Misconfigured, match="another file has the id"):
        Registry(tmp_path)
    written(tmp_path, system("ehr", "ES256", launches=["nobody"]), "b.toml")
    with pytest.raises(Misconfigured, match="nobody"):
        Registry(tmp_path)
    with pytest.raises(Misconfigured, match="no folder"):
        Registry(tmp_path / "missing")
    assert Registry(None).get("an-app") is None


def test_a_changed_folder_is_read_again_and_one_that_cannot_be_used_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(registration, "_SEEN_SECONDS", 0.0)
    told: list[str] = []
    path = written(tmp_path, app("an-app"))
    registry = Registry(tmp_path, told.append)
    assert registry.get("an-app")
    assert registry.get("a-second") is None
    written(tmp_path, app("a-second"), "second.toml")
    assert registry.get("a-second")
    path.write_text("id = 7")
    os.utime(path, ns=(1, 1))
    assert registry.get("an-app")  # what was registered before goes on
    assert told
    path.unlink()
    assert registry.get("an-app") is None


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    good, bad = written(tmp_path, app("an-app"), "good.toml"), written(tmp_path, app("an-app", kind="god"), "bad.toml")
    assert clients.check([good]) == 0
    assert clients.check([good, bad]) == 1
    out = capsys.readouterr().out
    assert "an-app (public)" in out
    assert "kind" in out


def test_the_samples_are_good_and_not_for_production():
    assert {client.id for client in Registry(SAMPLES).all()} == {"smart-app", "sample-partner"}
    assert clients_of(Settings()) == SAMPLES
    assert clients_of(Settings(environment="production")) is None


def test_every_line_of_a_registration_is_explained():
    page = (ROOT / "docs/how-to/register-client.md").read_text("utf-8")
    for name in ClientFile.model_fields:
        assert f"`{name}`" in page, name
