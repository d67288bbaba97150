"""Tokens: what holds, and every mutation that must not (RFC 8725, RFC 9068 §4; facts of token checks)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from gateway.clock import UTC, FrozenClock
from gateway.errors import Incorrect, Misconfigured, Unauthenticated
from gateway.identity import ACTORS, LocalIssuer
from gateway.settings import Settings

# the hour that occurs twice in Denmark
START = dt.datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
PUBLIC = "https://gw.example"


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture
def issuer(tmp_path: Path, clock: FrozenClock) -> LocalIssuer:
    return LocalIssuer.open(Settings(data=tmp_path, public_url=PUBLIC), clock)


def private(tmp_path: Path) -> ECKey:
    return ECKey.import_key(json.loads((tmp_path / "identity" / "local-issuer.json").read_text()))


def parts(token: str):
    header, payload, _ = token.split(".")
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, payload)]


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(issuer: LocalIssuer, token: str) -> str:
    with pytest.raises(Unauthenticated) as error:
        issuer.verifier().verify(token)
    assert error.value.status == 401
    return error.value.text


def test_a_token_holds_until_it_expires(issuer, clock):
    verifier = issuer.verifier()
    token = issuer.issue("somebody", ["system/*.rs"], ["home"], dt.timedelta(minutes=5))
    principal = verifier.authorise(f"Bearer {token}")
    assert principal.actor.client == "somebody"
    assert principal.may_post("home")
    assert not principal.may_post("hospital")
    assert verifier.verify(token) is principal  # remembered
    clock.advance(dt.timedelta(minutes=4, seconds=59))
    assert verifier.verify(token).token_id == principal.token_id
    clock.advance(dt.timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_every_named_actor_has_what_its_line_says(issuer):
    for name, known in ACTORS.items():
        actor = issuer.verifier().verify(issuer.token_of(name)).actor
        assert actor.feeds == frozenset(known.feeds), name
    assert (
        issuer.verifier().verify(issuer.token_of("reader", ["system/Patient.r"])).actor.scopes.text
        == "system/Patient.r"
    )
    with pytest.raises(Incorrect):
        issuer.token_of("nobody")


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer ", "bearerabc", "Bearer a b"])
def test_a_header_without_a_bearer_token_is_nobody(issuer, header):
    with pytest.raises(Unauthenticated):
        issuer.verifier().authorise(header)


HEADERS = {
    "alg none": {"alg": "none"}, "another alg": {"alg": "ES384"}, "no alg": {"alg": None}, "typ JWT": {"typ": "JWT"}, "no typ": {"typ": None},
    "unknown kid": {"kid": "x"}, "no kid": {"kid": None}, "kid a list": {"kid": ["x"]}, "crit": {"crit": ["exp"]}, "unknown crit": {"crit": ["nonsense"], "nonsense": 1},
    "jku": {"jku": "https://evil.example/jwks"}, "jwk": {"jwk": {}}, "x5u": {"x5u": "https://evil.example"}, "x5c": {"x5c": ["x"]}, "b64": {"b64": False, "crit": ["b64"]},
}  # fmt: skip


@pytest.mark.parametrize("change", HEADERS.values(), ids=HEADERS)
def test_a_changed_header_is_refused_even_when_signed_with_the_right_key(issuer, tmp_path, change):
    header, claims = parts(issuer.token_of("all"))
    header = {name: value for name, value in {**header, **change}.items() if value is not None}
    refused(issuer, resigned(private(tmp_path), header, claims))


def resigned(key: ECKey, header: dict, claims: dict) -> str:
    """Sign by hand: a library would refuse most of these headers."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    signed = f"{b64(header)}.{b64(claims)}"
    loaded = serialization.load_pem_private_key(key.as_pem(private=True), None)
    r, s = utils.decode_dss_signature(loaded.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def test_signing_by_hand_is_the_real_signature(issuer, tmp_path):
    assert issuer.verifier().verify(resigned(private(tmp_path), *parts(issuer.token_of("all"))))


NOW = int(START.timestamp())
CLAIMS = {
    "another issuer": {"iss": "https://evil.example"}, "no issuer": {"iss": None}, "issuer with a slash": {"iss": f"{PUBLIC}/local-issuer/"},
    "another audience": {"aud": "https://other.example/fhir"}, "no audience": {"aud": None}, "two audiences": {"aud": [f"{PUBLIC}/fhir", "https://other.example"]},
    "expired": {"exp": NOW - 1, "iat": NOW - 100}, "expires now": {"exp": NOW, "iat": NOW - 100}, "no exp": {"exp": None}, "exp text": {"exp": str(NOW + 100)}, "exp fraction": {"exp": NOW + 100.5},
    "exp true": {"exp": True}, "exp huge": {"exp": 10**30}, "too long a life": {"exp": NOW + 86401}, "issued tomorrow": {"iat": NOW + 3600}, "expires before issued": {"iat": NOW + 50, "exp": NOW + 20},
    "begins later": {"nbf": NOW + 61}, "no nbf": {"nbf": None}, "no iat": {"iat": None}, "no jti": {"jti": None}, "no client": {"client_id": None}, "sub another": {"sub": "x"},
    "no scope": {"scope": None}, "scope a list": {"scope": ["system/*.rs"]}, "scope letters out of order": {"scope": "system/*.sr"}, "scope unknown": {"scope": "system/*.rs admin"},
    "scope with half a constraint": {"scope": "system/Observation.rs?category"}, "scope v1 of letters": {"scope": "system/*.reads"},
}  # fmt: skip


@pytest.mark.parametrize("change", CLAIMS.values(), ids=CLAIMS)
def test_a_changed_claim_is_refused_even_when_signed_with_the_right_key(issuer, tmp_path, change):
    header, claims = parts(issuer.token_of("all"))
    claims = {name: value for name, value in {**claims, **change}.items() if value is not None}
    refused(issuer, resigned(private(tmp_path), header, claims))


def test_the_public_key_as_an_hmac_secret_is_refused(issuer, tmp_path):
    header, claims = parts(issuer.token_of("all"))
    key = private(tmp_path)
    for secret in (key.as_pem(private=False), json.dumps(key.as_dict(private=False)).encode()):
        signed = f"{b64({**header, 'alg': 'HS256'})}.{b64(claims)}"
        refused(issuer, f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}")


def test_another_key_under_the_right_kid_is_refused(issuer):
    header, claims = parts(issuer.token_of("all"))
    refused(issuer, resigned(ECKey.generate_key("P-256"), header, claims))
    rsa = jwt.encode({**header, "alg": "RS256"}, claims, RSAKey.generate_key(2048), algorithms=["RS256"])
    refused(issuer, rsa)


def test_no_signature_a_cut_one_and_a_zero_one_are_refused(issuer):
    head, payload, signature = issuer.token_of("all").split(".")
    for changed in ("", signature[:-4], "A" * 86, b64(bytes(64)), signature + "AAAA"):
        refused(issuer, f"{head}.{payload}.{changed}")


def test_a_token_of_another_gateway_is_refused(issuer, tmp_path, clock):
    other = LocalIssuer.open(Settings(data=tmp_path / "other", public_url=PUBLIC), clock)
    refused(issuer, other.token_of("all"))


@given(st.text(max_size=200))
def test_any_text_is_refused_without_a_crash(text):
    issuer = LocalIssuer(ECKey.generate_key("P-256"), issuer="i", audience="a", clock=FrozenClock(START))
    refused(issuer, text)


@given(st.data())
def test_one_changed_character_is_refused(data):
    issuer = LocalIssuer(KEY, issuer="i", audience="a", clock=FrozenClock(START))
    token = issuer.issue("x", ["system/*.rs"])
    place = data.draw(st.integers(0, len(token) - 3))  # the last character of a signature has two unused bits
    other = data.draw(st.sampled_from("AZaz09-_."))
    if token[place] != other and place != len(token.rpartition(".")[0]) - 1:
        refused(issuer, token[:place] + other + token[place + 1 :])


KEY = ECKey.generate_key("P-256")


def test_the_key_is_the_owners_alone_and_made_once(tmp_path):
    settings = Settings(data=tmp_path, public_url=PUBLIC)
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: LocalIssuer.open(settings).token_of("all"), range(16)))
    path = tmp_path / "identity" / "local-issuer.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    verifier = LocalIssuer.open(settings).verifier()
    assert len({verifier.verify(token).token_id for token in tokens}) == 16
    path.chmod(0o644)
    with pytest.raises(Misconfigured):
        LocalIssuer.open(settings)


def test_there_is_no_local_issuer_in_production(tmp_path):
    with pytest.raises(Misconfigured):
        LocalIssuer.open(Settings(data=tmp_path, environment="production"))
    assert not (tmp_path / "identity").exists()


@pytest.mark.parametrize("lifetime", [dt.timedelta(0), dt.timedelta(seconds=-1), dt.timedelta(hours=24, seconds=1)])
def test_a_lifetime_beyond_a_day_is_not_issued(issuer, lifetime):
    with pytest.raises(Incorrect):
        issuer.issue("x", ["system/*.rs"], lifetime=lifetime)


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "system/*.",
        "system/*.dus",
        "system/observation.r",
        "everything",
        "ingest/",
        "ingest/a/b",
        "system/*.rs?x=",
        "system/*.*s",
    ],
)
def test_a_scope_that_is_not_understood_is_not_issued(issuer, scope):
    with pytest.raises(Incorrect):
        issuer.issue("x", [scope])
