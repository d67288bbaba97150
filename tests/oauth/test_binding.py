"""Tokens that are bound: to a key by DPoP (RFC 9449), to a certificate by mutual TLS (RFC 8705)."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import json
import uuid
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from gateway.errors import Unauthenticated
from gateway.identity.tokens import NotAuthenticated
from gateway.serve.answer import refusal
from tests.oauth.world import ADDRESS, CITIZEN, START, TOKEN, asgi, citizen, claims

KEY = ECKey.generate_key("P-256")
OTHER = ECKey.generate_key("P-256")
AT = ADDRESS + "/fhir/Patient/x"


def proof(w, method="POST", url=TOKEN, key=KEY, header=None, token=None, **told):
    given = {
        "jti": str(uuid.uuid4()),
        "htm": method,
        "htu": url,
        "iat": int(w.clock.now().timestamp()),
        "nonce": w.server.acceptance._proofs.nonce(),
        **told,
    }
    if token:
        given.setdefault("ath", base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode())
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **(header or {})}
    claims = json.dumps({k: v for k, v in given.items() if v is not None})  # with escapes that UTF-8 does not have
    return jws.serialize_compact(head, claims.encode(), key, algorithms=[head["alg"]])


async def bound(w, **more):
    form = {"grant_type": "client_credentials", "scope": "system/*.rs", **w.signed("dpop-system")}
    return await w.token({"dpop": proof(w, **more)}, **form)


async def test_a_client_registered_for_it_gets_bound_tokens_alone(w):
    bare = await w.credentials("dpop-system")
    assert bare.status_code == 400
    assert bare.json()["error"] == "invalid_dpop_proof"
    answer = await bound(w)
    told = answer.json()
    assert told["token_type"] == "DPoP"
    assert claims(told["access_token"])["cnf"] == {"jkt": KEY.thumbprint()}


async def test_a_proof_without_a_nonce_is_told_which_to_use(w):
    answer = await bound(w, nonce=None)
    assert answer.status_code == 400
    assert answer.json()["error"] == "use_dpop_nonce"
    nonce = answer.headers["dpop-nonce"]
    assert (await bound(w, nonce=nonce)).status_code == 200
    w.clock.advance(dt.timedelta(minutes=5))
    assert (await bound(w, nonce=nonce)).status_code == 200
    w.clock.advance(dt.timedelta(minutes=5))
    assert (await bound(w, nonce=nonce)).json()["error"] == "use_dpop_nonce"


async def test_a_bound_token_holds_with_a_proof_of_its_key_for_this_request_and_in_no_other_way(w):
    token = (await bound(w)).json()["access_token"]

    async def asked(scheme="DPoP", proofs=1, **more):
        given = {"method": "GET", "url": AT, "token": token, **more}
        scope = asgi(headers={})
        scope["headers"] = [(b"dpop", proof(w, **given).encode())] * proofs
        return await w.server.acceptance.of_scope(scope, f"{scheme} {token}")

    assert (await asked()).actor.client == "dpop-system"
    assert (await asked(url=AT + "?x=y")).actor.client == "dpop-system"  # query and fragment do not count
    for more in (
        {"scheme": "Bearer"},
        {"proofs": 0},
        {"proofs": 2},
        {"key": OTHER},
        {"method": "POST"},
        {"url": ADDRESS + "/fhir/Patient/y"},
        {"url": "http://gw.example/fhir/Patient/x"},
        {"url": 7},
        {"ath": "x"},
        {"ath": None},
        {"nonce": "x"},
        {"iat": int(START.timestamp()) - 61},
        {"iat": int(START.timestamp()) + 61},
        {"iat": "now"},
        {"jti": None},
        {"jti": "x" * 300},
        {"iat": 10**400},
        {"jti": "\ud800"},
        {"ath": "\ud800"},
        {"nonce": "\ud800"},
        {"header": {"typ": "JWT"}},
        {"header": {"kid": "x"}},
        {"header": {"jwk": KEY.as_dict(private=True)}},
        {"header": {"jwk": OTHER.as_dict(private=False)}},
        {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
        {"header": {"jwk": RSAKey.generate_key(2048).as_dict(private=False)}},
    ):
        with pytest.raises(NotAuthenticated) as error:
            await asked(**more)
        assert error.value.challenge.startswith("DPoP "), more


async def test_the_api_tells_which_nonce_to_use(w):
    token = (await bound(w)).json()["access_token"]
    scope = asgi(headers={"dpop": proof(w, "GET", AT, token=token, nonce="old")})
    with pytest.raises(NotAuthenticated) as error:
        await w.server.acceptance.of_scope(scope, f"DPoP {token}")
    answer = refusal(error.value)
    headers = dict(answer.headers)
    assert answer.status == 401
    assert headers[b"www-authenticate"].startswith(b'DPoP realm="sundbro", error="use_dpop_nonce"')
    assert headers[b"dpop-nonce"].decode() == w.server.acceptance._proofs.nonce()


async def test_a_proof_is_good_once_among_eight_at_once(w):
    token = (await bound(w)).json()["access_token"]
    scope = asgi(headers={"dpop": proof(w, "GET", AT, token=token)})
    answers = await asyncio.gather(
        *(w.server.acceptance.of_scope(scope, f"DPoP {token}") for _ in range(8)), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert all(isinstance(answer, NotAuthenticated) for answer in answers if isinstance(answer, BaseException))


async def test_a_token_that_is_not_bound_does_not_come_as_dpop(w):
    token = (await w.credentials("system-es256")).json()["access_token"]
    with pytest.raises(Unauthenticated):
        await w.server.acceptance.of_scope(asgi(headers={"dpop": proof(w, "GET", AT, token=token)}), f"DPoP {token}")


async def test_two_authorization_headers_are_none(w):
    one, other = [(await w.credentials("system-es256")).json()["access_token"] for _ in range(2)]
    scope = asgi()
    scope["headers"] = [(b"authorization", f"Bearer {token}".encode()) for token in (one, other)]
    with pytest.raises(Unauthenticated):
        await w.server.acceptance.of_scope(scope, f"Bearer {other}")
    scope["headers"].pop()
    assert (await w.server.acceptance.of_scope(scope, f"Bearer {one}")).actor.client == "system-es256"


async def test_an_apps_refresh_and_code_are_bound_to_its_key(w):
    await w.log_in(citizen(START))
    form = w.request("dpop-app", dpop_jkt=KEY.thumbprint())
    code, _ = await w.code(form, patient=CITIZEN)
    assert (await w.redeem(code, form, {"dpop": proof(w, key=OTHER)})).json()["error"] == "invalid_grant"
    told = (await w.redeem(code, form, {"dpop": proof(w)})).json()
    assert told["token_type"] == "DPoP"

    async def refresh(token, key):
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "dpop-app"}
        return await w.token({"dpop": proof(w, key=key)}, **form)

    assert (await refresh(told["refresh_token"], OTHER)).json()["error"] == "invalid_grant"
    assert (await refresh(told["refresh_token"], KEY)).status_code == 200


async def test_a_proof_that_comes_unasked_binds(w):
    answer = await w.token(
        {"dpop": proof(w)}, grant_type="client_credentials", scope="system/*.rs", **w.signed("system-es256")
    )
    assert answer.json()["token_type"] == "DPoP"


# ── certificates ─────────────────────────────────────────────────────────────────────


def certificate() -> str:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "partner")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(START).not_valid_after(START + dt.timedelta(days=1))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


PEM = certificate()
DER = x509.load_pem_x509_certificate(PEM.encode()).public_bytes(serialization.Encoding.DER)
HEADERS = {"nginx": quote(PEM), "RFC 9440": f":{base64.b64encode(DER).decode()}:"}


async def from_proxy(w, headers, peer="10.1.2.3"):
    """Ask the token endpoint as the trusted proxy does (the client of httpx comes from 127.0.0.1)."""
    issuing, client = w.server.endpoint._issuing, w.server.registry.get("mtls-system")
    scope = asgi("/oauth/token", headers, peer)
    return await issuing.token({"grant_type": "client_credentials", "scope": "system/*.rs"}, client, scope, TOKEN)


@pytest.mark.parametrize("form", list(HEADERS))
async def test_a_token_is_bound_to_the_certificate_that_a_trusted_proxy_tells(w, form):
    told = await from_proxy(w, {"x-client-cert": HEADERS[form]})
    token = told["access_token"]
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(DER).digest()).rstrip(b"=").decode()
    assert claims(token)["cnf"] == {"x5t#S256": thumbprint}
    ask = w.server.acceptance.of_scope
    for header in HEADERS.values():
        assert await ask(asgi(headers={"x-client-cert": header}, peer="10.9.9.9"), f"Bearer {token}")
    tls = {"tls": {"client_cert_chain": [PEM]}}
    assert await ask(asgi(extensions=tls), f"Bearer {token}")
    proxy = {"tls": {"client_cert_chain": [certificate()]}}
    header = {"x-client-cert": HEADERS["nginx"]}
    assert await ask(asgi(headers=header, extensions=proxy, peer="10.9.9.9"), f"Bearer {token}")
    for scope in (
        asgi(),
        asgi(headers={"x-client-cert": HEADERS["nginx"]}),  # from anybody
        asgi(headers={"x-client-cert": quote(certificate())}, peer="10.9.9.9"),
        asgi(headers={"x-client-cert": "junk"}, peer="10.9.9.9"),
        asgi(headers={"x-client-cert": HEADERS["nginx"]}, peer="::ffff:203.0.113.7"),
        asgi(extensions={"tls": {"client_cert_chain": [certificate()]}}),
        asgi(extensions={"tls": {"client_cert_chain": []}}),
        asgi(extensions=tls, peer="10.9.9.9"),  # the proxy's own certificate is nobody's who asks through it
        asgi(headers={"x-client-cert": quote(certificate())}, extensions=tls, peer="10.9.9.9"),
    ):
        with pytest.raises(Unauthenticated):
            await ask(scope, f"Bearer {token}")


async def test_a_client_registered_for_it_gets_nothing_without_a_certificate(w):
    assert (await w.credentials("mtls-system")).json()["error"] == "invalid_request"
    header = {"x-client-cert": HEADERS["nginx"]}  # believed of the proxy alone
    answer = await w.token(header, grant_type="client_credentials", scope="system/*.rs", **w.signed("mtls-system"))
    assert answer.json()["error"] == "invalid_request"
