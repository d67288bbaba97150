"""A whole authorization server over real PostgreSQL, its pages and endpoints asked by HTTP within the process.

Who logs in has a session of the gateway's own; how he logged in, at which provider, is what tests/identity is about.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import json
import secrets
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from starlette.applications import Starlette

from gateway.access import Assurance, Kind
from gateway.clock import UTC, FrozenClock
from gateway.errors import Unavailable
from gateway.fhir.ids import Ids
from gateway.identity.login.sessions import Limits, LoginSessions
from gateway.identity.oauth.certificates import Certificates
from gateway.identity.oauth.outbound import Outbound, networks
from gateway.identity.oauth.pages import Choice
from gateway.identity.oauth.registration import Registry
from gateway.identity.oauth.server import OAuth, oauth
from gateway.identity.on_record import Happened
from gateway.identity.sealed import Sealer
from gateway.identity.session import LogIn
from gateway.store.postgres.connections import Connections
from gateway.store.postgres.grants import PostgresGrants
from gateway.store.postgres.sessions import PostgresSessions
from tests.contracts import stores

ADDRESS = "https://gw.example"
AUDIENCE = ADDRESS + "/fhir"
TOKEN = ADDRESS + "/oauth/token"
# the hour that occurs twice in Denmark
START = dt.datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
CITIZEN, CHILD, STRANGER = "Patient/citizen", "Patient/child", "Patient/stranger"
CALLBACK = "https://app.example/callback"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEYS = {
    "ES384": ECKey.generate_key("P-384", {"kid": "es384"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "es256"}),
    "RS384": RSAKey.generate_key(2048, {"kid": "rs384"}),
    "PS256": RSAKey.generate_key(2048, {"kid": "ps256"}),
}


def jwks(*algorithms: str) -> dict[str, Any]:
    return {"keys": [KEYS[name].as_dict(private=False) for name in algorithms or KEYS]}


def toml(lines: Mapping[str, Any]) -> str:
    def value(of: Any) -> str:
        if isinstance(of, dict):
            return "{" + ", ".join(f"{name} = {value(inner)}" for name, inner in of.items()) + "}"
        if isinstance(of, list):
            return "[" + ", ".join(value(inner) for inner in of) + "]"
        return json.dumps(of)

    return "\n".join(f"{name} = {value(of)}" for name, of in lines.items()) + "\n"


def app(name: str, /, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": {"da": f"{name} på dansk", "en": f"{name} in English"},
        "kind": "public",
        "scopes": [
            "openid",
            "fhirUser",
            "launch",
            "launch/patient",
            "offline_access",
            "online_access",
            "patient/*.rs",
            "user/*.rs",
        ],
        "redirect_uris": [CALLBACK],
        "users": ["citizen", "staff"],
        **more,
    }


def system(name: str, algorithm: str, /, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "name": {"da": name, "en": name},
        "kind": "system",
        "scopes": ["system/*.rs"],
        "algorithm": algorithm,
        "jwks": jwks(algorithm),
        "organisation": "325421000016001",
        **more,
    }


CLIENTS: list[dict[str, Any]] = [
    app("app", launch_uri="https://app.example/launch"),
    app(
        "staff-app",
        users=["staff"],
        consent="registered",
        purposes=["treatment", "vaerdispring"],
        launch_uri="https://app.example/launch",
    ),
    app("pushed-app", pushed=True),
    app("other-app", redirect_uris=["https://other.example/cb", "https://other.example/cb?x=1"]),
    app("self-app", exchanges=["self-app"], users=["citizen"]),
    app("dpop-app", binding="dpop"),
    app("native", redirect_uris=["dk.example.app:/cb", "http://127.0.0.1:7777/cb"]),
    app("server-app", kind="confidential", algorithm="ES256", jwks=jwks("ES256")),
    *(system(f"system-{name.lower()}", name) for name in KEYS),
    system("ehr", "ES256", launches=["app", "staff-app"], introspects=True),
    system("partner", "ES256", exchanges=["app"], scopes=["system/*.rs", "patient/*.rs"], feeds=["home"]),
    system("dpop-system", "ES256", binding="dpop"),
    system("mtls-system", "ES256", binding="mtls"),
    system("narrow", "ES256", scopes=["system/Observation.rs", "system/Condition.rs?category=problem-list-item"]),
    {**system("remote", "ES384", jwks_uri="https://keys.partner.example/jwks"), "jwks": None},
]


class Family:
    """One citizen has one child; professionals find by a word."""

    async def may_act(self, person: str, other: str) -> bool:
        return (person, other) == (CITIZEN, CHILD)

    async def represented(self, person: str) -> list[Choice]:
        return [Choice(CHILD, "Barn")] if person == CITIZEN else []

    async def find(self, login: LogIn, words: str) -> list[Choice]:
        return [Choice(CITIZEN, "Borger <b>B</b>")] if words == "borger" else []


def citizen(at: dt.datetime, **more: Any) -> LogIn:
    return LogIn(
        "subject-c",
        Kind.CITIZEN,
        "mitid",
        at,
        **{"assurance": Assurance.SUBSTANTIAL, "person": CITIZEN, "name": "B", **more},
    )


def doctor(at: dt.datetime, **more: Any) -> LogIn:
    given = {
        "assurance": Assurance.SUBSTANTIAL,
        "organisation": "325421000016001",
        "role": "7170",
        "authorisation": "0123A",
    }
    return LogIn("subject-d", Kind.STAFF, "mitid-erhverv", at, **{**given, **more})


@dataclass
class Book:
    """What is on record; `closed` while nothing can be written."""

    happened: list[Happened] = field(default_factory=list)
    closed: bool = False

    async def write(self, one: Happened) -> None:
        if self.closed:
            raise Unavailable("the ledger does not answer")
        self.happened.append(one)

    def told(self) -> list[tuple[str, str, int, str, str]]:
        """Return (act, way, status, why, client) of each, and forget them."""
        listed = [
            (one.act.value, one.way, one.status, one.why, one.actor.client if one.actor else one.client)
            for one in self.happened
        ]
        self.happened.clear()
        return listed


@dataclass
class World:
    server: OAuth
    http: httpx.AsyncClient
    clock: FrozenClock
    sessions: LoginSessions
    rows: PostgresSessions
    grants: PostgresGrants
    sealer: Sealer
    folder: Path
    book: Book
    verifier: dict[str, str] = field(default_factory=dict)

    # ── clients ──────────────────────────────────────────────────────────────────────

    def assertion(
        self,
        client: str,
        algorithm: str = "ES256",
        header: Mapping[str, Any] | None = None,
        key: Any = None,
        **claims: Any,
    ) -> str:
        now = int(self.clock.now().timestamp())
        told = {
            "iss": client,
            "sub": client,
            "aud": TOKEN,
            "exp": now + 240,
            "iat": now,
            "jti": str(uuid.uuid4()),
            **claims,
        }
        told = {name: value for name, value in told.items() if value is not None}
        head = {"alg": algorithm, "kid": algorithm.lower(), "typ": "JWT", **(header or {})}
        return jwt.encode(head, told, key or KEYS[algorithm], algorithms=[algorithm])

    def signed(self, client: str, algorithm: str = "ES256", **claims: Any) -> dict[str, str]:
        return {"client_assertion_type": ASSERTION, "client_assertion": self.assertion(client, algorithm, **claims)}

    async def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> httpx.Response:
        return await self.http.post(path, data=form, headers=headers)

    async def token(self, headers: Mapping[str, str] | None = None, **form: str) -> httpx.Response:
        return await self.post("/oauth/token", headers, **form)

    async def credentials(
        self, client: str, algorithm: str = "ES256", scope: str = "system/*.rs", **form: str
    ) -> httpx.Response:
        return await self.token(grant_type="client_credentials", scope=scope, **self.signed(client, algorithm), **form)

    # ── users ────────────────────────────────────────────────────────────────────────

    async def log_in(self, login: LogIn) -> str:
        begun = await self.sessions.begin(login, id_token="", until=None, cookies={})
        assert begun is not None
        value, session = begun
        self.http.cookies.set(self.sessions.cookie, value)
        return session.id

    def request(self, client: str = "app", **more: str | None) -> dict[str, str]:
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        self.verifier[challenge] = verifier
        form: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "scope": "openid fhirUser launch/patient offline_access patient/*.rs",
            "state": secrets.token_urlsafe(16),
            "aud": AUDIENCE,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return {name: value for name, value in form.items() if value is not None}

    async def authorize(self, form: Mapping[str, str]) -> httpx.Response:
        return await self.http.get("/oauth/authorize?" + urlencode(form))

    async def agree(self, page: httpx.Response, decision: str = "yes", **more: str) -> httpx.Response:
        assert page.status_code == 200, (page.status_code, page.headers, page.text)
        return await self.http.post("/oauth/authorize/decide", data={**hidden(page.text), "decision": decision, **more})

    async def code(self, form: Mapping[str, str] | None = None, **more: str) -> tuple[str, dict[str, str]]:
        form = form or self.request()
        answer = await self.authorize(form)
        if answer.status_code == 200:
            answer = await self.agree(answer, **more)
        told = parameters(answer)
        assert told["iss"] == ADDRESS
        return told["code"], dict(form)

    async def redeem(
        self, code: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None, **more: str
    ) -> httpx.Response:
        given = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": form["redirect_uri"],
            "code_verifier": self.verifier[form["code_challenge"]],
            "client_id": form["client_id"],
            **more,
        }
        return await self.token(headers, **given)

    async def tokens(self, form: Mapping[str, str] | None = None, **more: str) -> dict[str, Any]:
        code, form = await self.code(form, **more)
        answer = await self.redeem(code, form)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # ── tokens ───────────────────────────────────────────────────────────────────────

    async def holds(self, token: str, **more: Any) -> Any:
        return await self.server.acceptance.of_scope(asgi(**more), f"Bearer {token}")


def asgi(
    path: str = "/fhir/Patient/x", headers: Mapping[str, str] | None = None, peer: str = "203.0.113.7", **more: Any
) -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return {"type": "http", "method": "GET", "path": path, "headers": raw, "client": (peer, 1), **more}


def hidden(page: str) -> dict[str, str]:
    import re

    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))


def parameters(answer: httpx.Response, to: str = CALLBACK) -> dict[str, str]:
    assert answer.status_code == 303, (answer.status_code, answer.text)
    assert answer.headers["location"].startswith(to), answer.headers["location"]
    pairs = parse_qsl(urlsplit(answer.headers["location"]).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def prepared(url: str) -> str:
    """Return a new schema at head."""
    async with stores.open_store(url, keep=True) as store:
        return store._schema


@contextlib.asynccontextmanager
async def world(url: str, schema: str, folder: Path, *, outbound: Outbound | None = None) -> AsyncIterator[World]:
    """`schema` is one that `prepared` gave; what an earlier world left there is forgotten."""
    clock = FrozenClock(START)
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240
    for given in CLIENTS:
        lines = {name: value for name, value in given.items() if value is not None}
        (folder / f"{lines['id']}.toml").write_text(toml(lines), "utf-8")
    grants, connections = PostgresGrants(url, schema=schema), Connections(url, schema, size=4)
    await grants.start()
    await connections.open()
    rows = PostgresSessions(url, schema=schema)
    await rows.start()
    limits = Limits(dt.timedelta(minutes=30), dt.timedelta(hours=8))
    sessions = LoginSessions(rows, ids=Ids(b"0123456789abcdef"), clock=clock, limits=limits, secure=True)
    async with connections.session() as connection:
        await connection.execute(
            "truncate grant_single, grant_family, grant_refresh, grant_revoked, login_session, failure"
        )
        # a key takes long to make: the first one may stay
        await connection.execute("delete from signing_key where number > 1 or begins <> $1", START)
    sealer = Sealer(secrets.token_bytes(32), "then", clock)
    book = Book()
    server = oauth(
        address=ADDRESS,
        registry=Registry(folder),
        grants=grants,
        sessions=sessions,
        then=sealer,
        derive=lambda purpose: hashlib.sha256(purpose.encode()).digest(),
        clock=clock,
        record=book.write,
        people=Family(),
        outbound=outbound,
        certificates=Certificates(networks("10.0.0.0/8"), "x-client-cert"),
    )
    transport = httpx.ASGITransport(Starlette(routes=server.endpoint.routes()))
    async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as http:
        try:
            yield World(server, http, clock, sessions, rows, grants, sealer, folder, book)
        finally:
            await grants.stop()
            await rows.stop()
            await connections.close()
