"""Clients that others wrote, asking this server: authlib's client side, with PKCE and with private_key_jwt."""

from __future__ import annotations

import httpx
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from starlette.applications import Starlette

from tests.oauth.world import ADDRESS, AUDIENCE, CALLBACK, CITIZEN, KEYS, START, TOKEN, citizen


def transport(w) -> httpx.ASGITransport:
    return httpx.ASGITransport(Starlette(routes=w.server.endpoint.routes()))


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_authlib_gets_a_backend_token(w, algorithm, monkeypatch):
    monkeypatch.setattr("time.time", START.timestamp)
    name = f"system-{algorithm.lower()}"
    # by itself it signs for an hour: SMART takes five minutes
    claims = {"exp": int(START.timestamp()) + 300}
    auth = PrivateKeyJWT(TOKEN, claims=claims, headers={"kid": algorithm.lower()}, alg=algorithm)
    async with AsyncOAuth2Client(name, KEYS[algorithm], scope="system/*.rs", transport=transport(w)) as client:
        client.register_client_auth_method(auth)
        client.token_endpoint_auth_method = auth.name
        told = await client.fetch_token(TOKEN, grant_type="client_credentials", scope="system/*.rs")
    assert (await w.holds(told["access_token"])).actor.client == name


async def test_authlib_completes_a_code_flow_and_refreshes(w):
    await w.log_in(citizen(START))
    async with AsyncOAuth2Client(
        "app",
        scope="openid fhirUser launch/patient offline_access patient/*.rs",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        transport=transport(w),
    ) as client:
        verifier = "v" * 64
        url, state = client.create_authorization_url(f"{ADDRESS}/oauth/authorize", code_verifier=verifier, aud=AUDIENCE)
        answer = await w.agree(await w.http.get(url), patient=CITIZEN)
        told = await client.fetch_token(
            TOKEN, authorization_response=answer.headers["location"], code_verifier=verifier, state=state
        )
        assert told["patient"] == "citizen"
        assert (await w.holds(told["access_token"])).actor.person == CITIZEN
        again = await client.refresh_token(TOKEN, refresh_token=told["refresh_token"])
        assert again["refresh_token"] != told["refresh_token"]
