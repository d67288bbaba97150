"""What the authorization server says of itself, and that it is so; which pages of others may use it."""

from __future__ import annotations

import json

import httpx
import pytest
from authlib.oauth2 import rfc8414, rfc9207
from starlette.applications import Starlette

from gateway.identity.oauth.cors import Cors
from tests.oauth.world import ADDRESS, START, asgi, citizen

DOCUMENTS = (
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/fhir/.well-known/smart-configuration",
)


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_a_document_is_json_whatever_is_accepted_and_open_to_every_page(w, path):
    answer = await w.http.get(path, headers={"accept": "text/html", "origin": "https://anybody.example"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.json()["issuer"] == ADDRESS


async def test_the_metadata_is_what_authlib_takes_for_valid(w):
    told = rfc8414.AuthorizationServerMetadata((await w.http.get(DOCUMENTS[0])).json())
    told.validate(metadata_classes=[rfc9207.AuthorizationServerMetadata])


async def test_every_endpoint_that_is_named_is_there(w):
    told = (await w.http.get(DOCUMENTS[0])).json()
    for name, address in told.items():
        if name.endswith(("_endpoint", "_uri")):
            path = address.removeprefix(ADDRESS)
            method = "GET" if name in {"jwks_uri", "authorization_endpoint"} else "POST"
            assert (await w.http.request(method, path)).status_code not in {404, 405}, name


async def test_smart_configuration_has_what_smart_asks_for(w):
    told = (await w.http.get(DOCUMENTS[2])).json()
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert set(told["grant_types_supported"]) <= {"authorization_code", "client_credentials"}
    assert {"launch-ehr", "launch-standalone", "permission-v1", "permission-v2"} <= set(told["capabilities"])
    assert "client-confidential-symmetric" not in told["capabilities"]


async def test_every_scope_that_is_named_can_be_had(w):
    await w.log_in(citizen(START))
    told = (await w.http.get(DOCUMENTS[2])).json()
    for scope in told["scopes_supported"]:
        if scope.startswith("system/"):
            assert (await w.credentials("system-es256", scope=scope)).json()["scope"] == scope
        elif scope != "launch":
            assert (await w.authorize(w.request(scope=f"{scope} user/*.rs"))).status_code == 200, scope


async def test_pages_of_registered_apps_may_use_the_api_and_no_others(w):
    application = Cors(Starlette(routes=w.server.endpoint.routes()), w.server.registry)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=ADDRESS) as http:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        answer = await http.options("/oauth/token", headers={"origin": "https://app.example", **asked})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        for origin in ("https://evil.example", "null", "https://app.example.evil.example", "http://app.example"):
            answer = await http.options("/oauth/token", headers={"origin": origin, **asked})
            assert "access-control-allow-origin" not in answer.headers, origin
        answer = await http.post("/oauth/token", data={"client_id": "app"}, headers={"origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["vary"] == "origin"
        page = await http.get("/oauth/authorize", headers={"origin": "https://app.example"})
        assert "access-control-allow-origin" not in page.headers


async def test_no_secret_is_told_in_an_error_or_a_log(w, caplog):
    caplog.set_level("DEBUG")
    await w.log_in(citizen(START))
    told = await w.tokens(patient="Patient/citizen")
    code, form = await w.code(patient="Patient/citizen")
    await w.redeem(code, form, code_verifier="x" * 43)
    await w.token(grant_type="refresh_token", refresh_token=told["refresh_token"], client_id="other-app")
    heard = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx")
    for secret in (code, told["access_token"], told["refresh_token"], told["id_token"]):
        assert secret not in heard
    with pytest.raises(Exception) as error:
        await w.server.acceptance.of_scope(asgi(), f"Bearer {told['access_token'][:-4]}AAAA")
    assert told["access_token"][:20] not in str(error.value)
    assert json.dumps(told["access_token"]) not in str(error.value)
