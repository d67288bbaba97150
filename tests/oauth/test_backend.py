"""SMART Backend Services: what a signed assertion gets, and every one that gets nothing."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey

from tests.oauth.world import ASSERTION, KEYS, START, TOKEN, claims


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_an_assertion_by_the_registered_algorithm_gets_a_token_that_holds(w, algorithm):
    name = f"system-{algorithm.lower()}"
    answer = await w.credentials(name, algorithm, scope="system/Observation.rs system/Condition.read")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["scope"] == "system/Observation.rs system/Condition.read"
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 300)
    assert "refresh_token" not in told
    assert answer.headers["cache-control"] == "no-store"
    principal = await w.holds(told["access_token"])
    assert principal.actor.client == name
    assert principal.actor.organisation == "325421000016001"
    assert claims(told["access_token"])["sub"] == name


def mutations():
    """Every change of an assertion after which it must get nothing: name → (header, claims, key, form)."""
    other = ECKey.generate_key("P-256", {"kid": "es256"})
    public = KEYS["ES256"].as_pem(private=False)
    return {
        "none": ({"alg": "none"}, {}, None, {}),
        "an end beyond every calendar": ({}, {"exp": 1 << 39}, None, {}),
        "another algorithm of the same key type": ({"alg": "ES384", "kid": "es256"}, {}, KEYS["ES384"], {}),
        "HMAC with the public key": ({"alg": "HS256"}, {}, public, {}),
        "another key of the same kid": ({}, {}, other, {}),
        "an unknown kid": ({"kid": "x"}, {}, None, {}),
        "no kid": ({"kid": None}, {}, None, {}),
        "a key brought along": ({"jwk": other.as_dict(private=False)}, {}, other, {}),
        "an address of keys brought along": ({"jku": "https://evil.example/jwks"}, {}, other, {}),
        "x5u": ({"x5u": "https://evil.example/"}, {}, None, {}),
        "something critical": ({"crit": ["x"], "x": 1}, {}, None, {}),
        "an access token": ({"typ": "at+jwt"}, {}, None, {}),
        "for another server": ({}, {"aud": "https://evil.example/token"}, None, {}),
        "for two servers": ({}, {"aud": [TOKEN, "https://evil.example/token"]}, None, {}),
        "for nobody": ({}, {"aud": None}, None, {}),
        "for something else": ({}, {"aud": {"a": 1}}, None, {}),
        "from another": ({}, {"iss": "partner"}, None, {}),
        "about another": ({}, {"sub": "partner"}, None, {}),
        "about a number": ({}, {"sub": 7}, None, {}),
        "about nobody": ({}, {"sub": None}, None, {}),
        "without end": ({}, {"exp": None}, None, {}),
        "ended": ({}, {"exp": SECONDS - 61}, None, {}),
        "too long": ({}, {"exp": SECONDS + 600}, None, {}),
        "end as text": ({}, {"exp": str(SECONDS + 60)}, None, {}),
        "end as a fraction": ({}, {"exp": SECONDS + 60.5}, None, {}),
        "end as true": ({}, {"exp": True}, None, {}),
        "not yet": ({}, {"nbf": SECONDS + 300}, None, {}),
        "made later": ({}, {"iat": SECONDS + 300}, None, {}),
        "without jti": ({}, {"jti": None}, None, {}),
        "jti is empty": ({}, {"jti": ""}, None, {}),
        "jti is long": ({}, {"jti": "x" * 300}, None, {}),
        "another client_id beside it": ({}, {}, None, {"client_id": "partner"}),
        "another assertion type": ({}, {}, None, {"client_assertion_type": "urn:x"}),
        "a secret beside it": ({}, {}, None, {"client_secret": "x"}),
    }


SECONDS = int(START.timestamp())


def by_hand(header, told, key) -> str:
    """A JWS of whatever header, signed as `alg` says."""
    signing = f"{b64(header)}.{b64(told)}"
    if header["alg"] == "none":
        return signing + "."
    if header["alg"] == "HS256":
        return f"{signing}.{b64(hmac.digest(key, signing.encode(), 'sha256'))}"
    size, how = (32, hashes.SHA256()) if header["alg"] == "ES256" else (48, hashes.SHA384())
    r, s = decode_dss_signature(key.private_key.sign(signing.encode(), ec.ECDSA(how)))
    return f"{signing}.{b64(r.to_bytes(size) + s.to_bytes(size))}"


def b64(value) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("name", list(mutations()))
async def test_a_changed_assertion_gets_nothing_and_is_told_nothing(w, name):
    header, told, key, form = mutations()[name]
    full = {"alg": "ES256", "kid": "es256", "typ": "JWT", **header}
    claimed = {"iss": "system-es256", "sub": "system-es256", "aud": TOKEN, "exp": SECONDS + 240, "jti": name, **told}
    assertion = by_hand(
        {key: value for key, value in full.items() if value is not None},
        {key: value for key, value in claimed.items() if value is not None},
        key or KEYS["ES256"],
    )
    given = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion": assertion}
    answer = await w.token(**{**given, "client_assertion_type": ASSERTION, **form})
    assert answer.status_code == 401, answer.text
    unknown = await w.credentials("nobody")
    assert answer.json() == unknown.json()


async def test_the_same_by_hand_without_a_change_holds(w):
    """So that the test before this one can fail."""
    header = {"alg": "ES256", "kid": "es256", "typ": "JWT"}
    claimed = {"iss": "system-es256", "sub": "system-es256", "aud": TOKEN, "exp": SECONDS + 240, "jti": "1"}
    assertion = by_hand(header, claimed, KEYS["ES256"])
    given = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion": assertion}
    assert (await w.token(**given, client_assertion_type=ASSERTION)).status_code == 200


@pytest.mark.parametrize("junk", ["", ".", "..", "a.b.c", "x" * 9000, "eyJhbGciOiJFUzI1NiJ9.W10.x", "\x00.\x00.\x00"])
async def test_what_is_no_assertion_gets_nothing(w, junk):
    given = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": junk}
    assert (await w.token(**given)).json()["error"] == "invalid_client"


async def test_an_assertion_is_good_once_among_eight_at_once_and_in_every_process(w):
    form = {"grant_type": "client_credentials", "scope": "system/*.rs", **w.signed("system-es256")}
    answers = await asyncio.gather(*(w.token(**form) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    w.clock.advance(dt.timedelta(minutes=5))
    assert (await w.token(**form)).status_code == 401


async def test_a_system_gets_what_it_is_registered_for_and_no_more(w):
    async def scope(asked, client="narrow"):
        answer = await w.credentials(client, scope=asked)
        return answer.json().get("scope", answer.json().get("error"))

    assert await scope("system/*.cruds") == "system/Observation.rs system/Condition.rs?category=problem-list-item"
    assert await scope("system/Observation.r") == "system/Observation.r"
    assert await scope("system/Condition.r") == "system/Condition.r?category=problem-list-item"
    assert await scope("system/Observation.cud") == "invalid_scope"
    assert await scope("patient/*.rs openid ingest/home") == "invalid_scope"
    assert await scope("system/Observation.rs?code=x") == "system/Observation.rs?code=x"
    assert await scope("ingest/home ingest/hospital", "partner") == "ingest/home"


async def test_a_purpose_is_one_that_is_registered(w):
    answer = await w.credentials("system-es256", purpose="operation")
    assert answer.json()["error"] == "invalid_request"
    assert (await w.credentials("system-es256", purpose="sharing")).status_code == 200


async def test_grants_that_a_client_is_not_for_are_refused(w):
    for grant in ("password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", ""):
        answer = await w.token(grant_type=grant, **w.signed("system-es256"))
        assert answer.json()["error"] == "unsupported_grant_type"
    answer = await w.token(grant_type="client_credentials", scope="user/*.rs", client_id="app")
    assert answer.json()["error"] == "unauthorized_client"
    answer = await w.token(grant_type="authorization_code", code="x", **w.signed("system-es256"))
    assert answer.json()["error"] == "unauthorized_client"


async def test_a_secret_by_basic_is_no_way_in(w):
    answer = await w.token({"authorization": "Basic " + b64(b"app:x")}, grant_type="client_credentials")
    assert answer.status_code == 401


async def test_a_keyed_client_is_nobody_without_its_key(w):
    assert (await w.token(grant_type="client_credentials", client_id="system-es256")).status_code == 401


async def test_who_fails_too_often_is_told_to_wait_and_no_other(w):
    for _ in range(20):
        assert (await w.token(grant_type="client_credentials", client_id="system-es256")).status_code == 401
    answer = await w.credentials("system-es256")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert (await w.credentials("system-rs384", "RS384")).status_code == 200
    w.clock.advance(dt.timedelta(seconds=61))
    assert (await w.credentials("system-es256")).status_code == 200


async def test_a_body_that_is_no_form_is_refused(w):
    for content, kind in (
        (b"{}", "application/json"),
        (b"a=1&a=2", "application/x-www-form-urlencoded"),
        (b"a=%ff", "application/x-www-form-urlencoded"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded"),
        (b"&".join(b"a%d=1" % n for n in range(100)), "application/x-www-form-urlencoded"),
    ):
        answer = await w.http.post("/oauth/token", content=content, headers={"content-type": kind})
        assert answer.status_code == 400, content[:20]
        assert answer.json()["error"] == "invalid_request"
