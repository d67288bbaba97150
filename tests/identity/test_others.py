"""The log-in against a provider that others wrote (npm oidc-provider), and in a browser that people use (Chromium)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from gateway.app.feeds import id_secret
from gateway.clock import SystemClock
from gateway.fhir.ids import Ids
from gateway.identity.local import kept_key
from gateway.identity.login.asked import THEN_LIFETIME
from gateway.identity.sealed import way_back
from tests.gateway import Gateway
from tests.life import free_port

NODE = Path(__file__).with_name("node")
CPR = "2512489996"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("NOT RUN: no node on this machine, the log-in is not tried against npm oidc-provider")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(NODE, folder, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    command = [npm, "ci", "--silent", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        pytest.skip(f"NOT RUN: oidc-provider cannot be installed here: {done.stderr[-200:]}")
    return folder


class Provider:
    """npm oidc-provider as a process."""

    def __init__(self, folder: Path, port: int, client: dict[str, Any]) -> None:
        self._start = [str(shutil.which("node")), "provider.mjs", str(port), json.dumps(client)]
        self._folder = folder
        self._key = ECKey.generate_key("P-256")
        self._process: subprocess.Popen[str] | None = None

    def start(self, **environment: str) -> None:
        self.stop()
        environment = {**os.environ, "CPR": CPR, "KEY": json.dumps(self._key.as_dict(private=True)), **environment}
        self._process = subprocess.Popen(
            self._start, cwd=self._folder, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        while "listening" not in (line := self._process.stdout.readline()):
            assert line, "oidc-provider ended"

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def broker(node: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Provider]]:
    folder, port = tmp_path_factory.mktemp("broker"), free_port()
    key = kept_key(folder / "client.json")
    (folder / "login.toml").write_text(
        f'[mitid]\nissuer = "http://127.0.0.1:{port}"\nprofile = "neb"\nclient_id = "gateway"\nclient_key = "client.json"\n'
    )
    with Gateway(folder, login=folder / "login.toml", translators=1) as gateway:
        at = f"http://{gateway.http}"
        public = {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig"}
        client = {
            "client_id": "gateway", "redirect_uris": [f"{at}/login/callback/mitid"], "post_logout_redirect_uris": [f"{at}/logout/done"],
            "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256", "id_token_signed_response_alg": "ES256",
            "jwks": {"keys": [public]}, "backchannel_logout_uri": f"{at}/login/backchannel/mitid", "backchannel_logout_session_required": True,
            "response_types": ["code"], "grant_types": ["authorization_code"], "require_auth_time": True,
        }  # fmt: skip
        provider = Provider(node, port, client)
        try:
            provider.start()
            yield gateway, provider
        finally:
            provider.stop()


def browser(gateway: Gateway) -> httpx.Client:
    return httpx.Client(base_url=f"http://{gateway.http}", follow_redirects=True, timeout=30)


def test_a_log_in_through_a_provider_that_others_wrote(broker):
    gateway, _ = broker
    with browser(gateway) as person:
        done = person.get("/login", params={"lang": "en"})
        assert done.url.path == "/login/done", done.text + gateway.printed()
        assert "Borger Prøve" in done.text
        stepped = person.get("/login", params={"assurance": "high", "lang": "en"})
        assert stepped.url.path == "/login/done", stepped.text
        assert "Level of assurance: high" in person.get("/login/done", params={"lang": "en"}).text
    assert CPR not in gateway.printed()


def test_its_back_channel_ends_the_session(broker):
    gateway, _ = broker
    with browser(gateway) as person, browser(gateway) as copy:
        person.get("/login")
        copy.cookies = person.cookies
        shown = person.get("/logout")
        form = re.search(r'name="form" value="([^"]+)"', shown.text)
        assert form
        # Its session goes on until its own question is answered; ours is begun anew meanwhile, as in another window.
        confirm = person.post("/logout", data={"form": unescape(form[1])})
        assert confirm.status_code == 200, confirm.text
        again = person.get("/login/done")
        assert again.url.path == "/login/done", "the provider's session still runs"
        xsrf = re.search(r'name="xsrf" value="([^"]+)"', confirm.text)
        action = re.search(r'action="([^"]+)"', confirm.text)
        assert xsrf
        assert action
        left = person.post(unescape(action[1]), data={"xsrf": xsrf[1], "logout": "yes"})
        assert left.url.path == "/logout/done", left.text
        sessions = gateway.sql("select ended from login_session")
        assert sessions
        assert all(row["ended"] for row in sessions[-2:]), gateway.printed()


def test_who_stops_there_is_told_so_here(broker):
    gateway, provider = broker
    provider.start(ABORT="1")
    with browser(gateway) as person:
        answer = person.get("/login", params={"lang": "da"})
    assert answer.status_code == 400, answer.text
    assert "Du afbrød login" in answer.text


def test_a_provider_that_is_away_is_told_and_comes_back(broker):
    gateway, provider = broker
    provider.start()
    with browser(gateway) as person:
        left = person.get("/login", follow_redirects=False)
        assert left.status_code == 303
        away = left.headers["location"]
        found = person.get(away, follow_redirects=False)
        while (target := found.headers.get("location", "")) and "/login/callback/" not in target:
            found = person.get(httpx.URL(away).join(target), follow_redirects=False)
        provider.stop()
        answer = person.get(target)
        assert answer.status_code == 503, answer.text
        provider.start()
        assert person.get("/login").url.path == "/login/done"


def test_a_person_logs_in_and_out_in_a_real_browser(node: Path, tmp_path: Path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("NOT RUN: no Chromium on this machine, nobody logs in through a browser")
    pictures = Path(os.environ.get("SUNDBRO_TEST_PICTURES", tmp_path / "pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    with Gateway(tmp_path, translators=1) as gateway:
        then = way_back(Ids(id_secret(gateway.settings)), SystemClock()).seal(
            "/fhir/metadata?_format=json", THEN_LIFETIME
        )
        command = [str(shutil.which("node")), "browser.mjs", f"http://{gateway.http}", chromium, str(pictures), then]
        done = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + gateway.printed()
        told = json.loads(done.stdout.splitlines()[-1])
        assert [text for text in told["complaints"] if "status of 4" not in text] == [], (
            "the policy held, and nothing ran against it"
        )
        steps = {each["name"]: each for each in told["steps"]}
        shown = {
            "da": ("Log ind som testperson", "Du afbrød login", "Du skal logge ind på et højere sikringsniveau", "Du er logget ind", "Log ud", "Du er logget ud"),
            "en": ("Log in as a test person", "You stopped the log-in", "You must log in at a higher level of assurance", "You are logged in", "Log out", "You are logged out"),
        }  # fmt: skip
        for language, titles in shown.items():
            for page, title in zip(("choose", "aborted", "too-low", "done", "logout", "left"), titles, strict=True):
                step = steps[f"{language}-{page}"]
                assert (step["lang"], step["headings"]) == (language, [title]), step
                assert (step["scripts"], step["unlabelled"], step["ungrouped"]) == (0, 0, 0), step
            cookie = steps[f"{language}-cookie"]["cookie"]
            assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
            assert steps[f"{language}-script"]["readable"] == ""
            assert steps[f"{language}-then"]["url"].endswith("/fhir/metadata?_format=json")
            assert "/local-issuer/authorize" in steps[f"{language}-asked-again"]["url"]
