"""An OpenID provider on a real socket that does as a test tells it: right by default, wrong in any one place."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.clock import Clock

CPR = "2512489996"
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


class Op:
    """`claims`, `header`, `userinfo`, `metadata`, `answer` are laid over what is right; None takes a member away."""

    def __init__(self, clock: Clock, port: int) -> None:
        self.clock = clock
        self.issuer = f"http://127.0.0.1:{port}"
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})
        self.keys: list[Any] = [self.key]
        self.signing: Any = self.key
        self.codes: dict[str, dict[str, str]] = {}
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.answer: dict[str, Any] = {}
        self.asked: dict[str, str] = {}
        self.token_requests: list[dict[str, str]] = []
        self.fetches: list[str] = []
        self.status: dict[str, int] = {}
        self.client_id = "gateway"

    @property
    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def authorized(self, asked: dict[str, str]) -> str:
        """Return a code for an authorization request, as after a user's log-in."""
        self.asked = asked
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return code

    def id_token(self, nonce: str, access_token: str) -> str:
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": self.issuer, "sub": "user-1", "aud": self.client_id, "iat": self.now, "exp": self.now + 300, "auth_time": self.now,
            "nonce": nonce, "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(), "neb_sid": "broker-session-1",
            "idp": "mitid", "identity_type": "private", "transaction_id": "t-1", "session_expiry": str(self.now + 3600),
            "loa": "https://data.gov.dk/concept/core/nsis/Substantial", "ial": "https://data.gov.dk/concept/core/nsis/High",
            "aal": "https://data.gov.dk/concept/core/nsis/Substantial", "amr": ["code_app"],
        }  # fmt: skip
        return self.signed(laid(claims, self.claims))

    def logout_token(self, **changed: Any) -> str:
        claims = {
            "iss": self.issuer, "aud": self.client_id, "iat": self.now, "exp": self.now + 120, "jti": secrets.token_urlsafe(8),
            "sid": "broker-session-1", "sub": "user-1", "events": {LOGOUT: {}},
        }  # fmt: skip
        return self.signed(laid(claims, changed), typ="logout+jwt")

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        head = laid({"alg": "ES256", "typ": "JWT", "kid": "k1", **header}, self.header)
        if isinstance(self.signing, ECKey | RSAKey):
            from joserfc.jws import JWSRegistry

            registry = JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
            return jwt.encode(head, claims, self.signing, algorithms=[head["alg"]], registry=registry)
        text = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{_b64(self.signing(text.encode()))}"

    # --- its addresses ---

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._metadata),
                Route("/jwks", self._jwks),
                Route("/token", self._token, methods=["POST"]),
                Route("/userinfo", self._userinfo),
            ]
        )

    def _count(self, name: str) -> Response | None:
        self.fetches.append(name)
        status = self.status.get(name)
        return Response(status_code=status, headers={"location": "http://127.0.0.1:1/"}) if status else None

    async def _metadata(self, _: Request) -> Response:
        said = {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize", "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo", "jwks_uri": f"{self.issuer}/jwks", "end_session_endpoint": f"{self.issuer}/end",
            "authorization_response_iss_parameter_supported": True,
        }  # fmt: skip
        return self._count("metadata") or JSONResponse(laid(said, self.metadata))

    async def _jwks(self, _: Request) -> Response:
        return self._count("jwks") or JSONResponse({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def _token(self, request: Request) -> Response:
        if told := self._count("token"):
            return told
        form = dict(parse_qsl((await request.body()).decode()))
        self.token_requests.append(form)
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = _b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        access_token = secrets.token_urlsafe(16)
        answer = {
            "access_token": access_token,
            "token_type": "Bearer",
            "id_token": self.id_token(asked["nonce"], access_token),
        }
        return JSONResponse(laid(answer, self.answer))

    async def _userinfo(self, _: Request) -> Response:
        said = {"sub": "user-1", "mitid.identity_name": "Borger Prøve", "dk.cpr": CPR, "mitid.has_cpr": "true"}
        return self._count("userinfo") or JSONResponse(laid(said, self.userinfo))


def laid(below: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**below, **over}.items() if value is not None}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


@contextlib.asynccontextmanager
async def running(clock: Clock) -> AsyncIterator[Op]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    op = Op(clock, listening.getsockname()[1])
    server = _Server(uvicorn.Config(op.app(), log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield op
    finally:
        server.should_exit = True
        await task
        listening.close()
