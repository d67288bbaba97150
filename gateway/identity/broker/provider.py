"""The local issuer's OpenID provider: code flow with PKCE, private_key_jwt, UserInfo, log-out both ways.

It keeps nothing but what the database notes as having happened once: codes, access tokens and its own session are
sealed values, so that whichever process of the gateway is asked can answer. What it is for excuses no shortcut that a
client could come to rely on: every rule that the gateway's own client keeps is demanded here.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from joserfc import errors as jose
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.access import Assurance
from gateway.clock import Clock
from gateway.fhir.ids import Ids
from gateway.identity.broker import claims, page
from gateway.identity.broker.asked import SCOPES, Client, Request, Wrong
from gateway.identity.broker.claims import Standing
from gateway.identity.login.answers import NO_STORE, form_of, language_of
from gateway.identity.login.tokens import LOGOUT_EVENT
from gateway.identity.people import PEOPLE, at_the_login
from gateway.identity.sealed import Sealer

ROOT: Final = "/local-issuer"
ALGORITHM: Final = "ES256"
COOKIE: Final = "sundbro-local-issuer"
CODE_LIFETIME: Final = dt.timedelta(seconds=60)
TOKEN_LIFETIME: Final = dt.timedelta(minutes=5)
ASKED_LIFETIME: Final = dt.timedelta(minutes=30)
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME_MAX: Final = 300
Once = Callable[[bytes, dt.datetime, dt.datetime], Awaitable[bool]]
"""(what, until, now) → whether it happens for the first time: `store.sessions.SessionStore.once`."""
Notify = Callable[[str], Awaitable[None]]
"""Hands a logout token to the client's back-channel address."""


class Broker:
    """The provider at `<address>/local-issuer`, for one client whose public key is `client_key`."""

    def __init__(
        self,
        address: str,
        key: ECKey,
        client: Client,
        client_key: ECKey,
        *,
        ids: Ids,
        clock: Clock,
        once: Once,
        notify: Notify,
    ) -> None:
        self.issuer = address.rstrip("/") + ROOT
        self._key = key
        self._client = client
        self._client_key = client_key
        self._ids = ids
        self._clock = clock
        self._once = once
        self._notify = notify
        self._secure = address.startswith("https://")
        secret = ids.derive("local-issuer")
        self._seals = {
            name: Sealer(secret, f"local-issuer {name}", clock) for name in ("asked", "code", "token", "session")
        }

    def routes(self) -> list[Route]:
        """Return the routes, to be mounted at the root."""
        return [
            Route(f"{ROOT}/.well-known/openid-configuration", self._metadata, methods=["GET"]),
            Route(f"{ROOT}/jwks", self._jwks, methods=["GET"]),
            Route(f"{ROOT}/authorize", self._authorize, methods=["GET"]),
            Route(f"{ROOT}/authorize", self._chosen, methods=["POST"]),
            Route(f"{ROOT}/token", self._token, methods=["POST"]),
            Route(f"{ROOT}/userinfo", self._userinfo, methods=["GET"]),
            Route(f"{ROOT}/end-session", self._leave, methods=["GET"]),
            Route(f"{ROOT}/end-session", self._left, methods=["POST"]),
        ]

    async def _metadata(self, _: HttpRequest) -> Response:
        at = self.issuer
        return JSONResponse(
            {
                "issuer": at,
                "authorization_endpoint": f"{at}/authorize",
                "token_endpoint": f"{at}/token",
                "userinfo_endpoint": f"{at}/userinfo",
                "end_session_endpoint": f"{at}/end-session",
                "jwks_uri": f"{at}/jwks",
                "scopes_supported": SCOPES,
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": [ALGORITHM],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "backchannel_logout_supported": True,
                "backchannel_logout_session_supported": True,
            }
        )

    async def _jwks(self, _: HttpRequest) -> Response:
        public = dict(self._key.as_dict(private=False)) | {
            "kid": self._key.thumbprint(),
            "use": "sig",
            "alg": ALGORITHM,
        }
        return JSONResponse({"keys": [public]})

    # --- the browser ---

    async def _authorize(self, request: HttpRequest) -> Response:
        try:
            asked = Request.of(dict(request.query_params), self._client)
        except Wrong as wrong:
            return page.wrong(language_of(request), str(wrong))
        if asked.error:
            return self._back(asked, {"error": asked.error})
        standing = self._standing(request)
        if standing is not None and self._enough(standing, asked):
            return self._back(asked, {"code": self._code(asked, standing)})
        if asked.prompt == "none":
            return self._back(asked, {"error": "login_required"})
        other = dict(request.query_params) | {"language": "en" if asked.language == "da" else "da"}
        sealed = self._seals["asked"].seal(asked.as_json(), ASKED_LIFETIME)
        address = f"{ROOT}/authorize?{urlencode(other)}"
        return page.choose(asked.language, at_the_login(), sealed, asked.wanted, address)

    async def _chosen(self, request: HttpRequest) -> Response:
        form = await form_of(request)
        said = self._seals["asked"].open(form.get("asked", ""))
        if said is None:
            return page.wrong(language_of(request), "the page is too old: go back to where you came from")
        asked = Request(**said)
        if form.get("do") == "abort":
            return self._back(asked, {"error": "access_denied", "error_description": "mitid_user_aborted"})
        chosen = [each for each in at_the_login() if each.name == form.get("person")]
        level = form.get("level", "").upper()
        if not chosen or level not in {"LOW", "SUBSTANTIAL", "HIGH"}:
            return page.wrong(asked.language, "choose a person and a level")
        standing = Standing(chosen[0], Assurance[level], self._now(), str(uuid.uuid4()))
        answer = self._back(asked, {"code": self._code(asked, standing)})
        session = self._seals["session"].seal(_plain(standing), claims.SESSION)
        answer.set_cookie(COOKIE, session, path=ROOT, secure=self._secure, httponly=True, samesite="lax")
        return answer

    def _enough(self, standing: Standing, asked: Request) -> bool:
        fresh = asked.max_age < 0 or self._now() - standing.at <= asked.max_age
        return asked.prompt != "login" and fresh and standing.level >= asked.wanted

    def _standing(self, request: HttpRequest) -> Standing | None:
        said = self._seals["session"].open(request.cookies.get(COOKIE, ""))
        return _standing(said) if said else None

    def _code(self, asked: Request, standing: Standing) -> str:
        own = {"nonce": asked.nonce, "challenge": asked.challenge, "redirect": asked.redirect, "scopes": asked.scopes}
        return self._seals["code"].seal({**own, "who": _plain(standing)}, CODE_LIFETIME)

    def _back(self, asked: Request, parameters: dict[str, str]) -> Response:
        answer = {**parameters, "state": asked.state, "iss": self.issuer}
        return RedirectResponse(f"{asked.redirect}?{urlencode(answer)}", HTTPStatus.SEE_OTHER, NO_STORE)

    # --- the client ---

    async def _token(self, request: HttpRequest) -> Response:
        form = await form_of(request)
        if not await self._is_client(form):
            return _refused("invalid_client", HTTPStatus.UNAUTHORIZED)
        if form.get("grant_type") != "authorization_code":
            return _refused("unsupported_grant_type")
        code, now = form.get("code", ""), self._clock.now()
        said = self._seals["code"].open(code)
        verifier = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            said is None
            or said["redirect"] != form.get("redirect_uri")
            or not hmac.compare_digest(said["challenge"], verifier.rstrip(b"=").decode())
            or not await self._once(self._ids.resource("code", code).encode(), now + 2 * CODE_LIFETIME, now)
        ):
            return _refused("invalid_grant")
        standing, seconds = _standing(said["who"]), int(TOKEN_LIFETIME.total_seconds())
        access_token = self._seals["token"].seal({"who": said["who"], "scopes": said["scopes"]}, TOKEN_LIFETIME)
        own = {"aud": self._client.client_id, "nonce": said["nonce"], "at_hash": _half(access_token)}
        id_token = self._signed(own | claims.in_id_token(standing, self._ids), "JWT", seconds)
        answer = {"access_token": access_token, "token_type": "Bearer", "expires_in": seconds, "scope": said["scopes"]}
        return JSONResponse(answer | {"id_token": id_token}, headers=NO_STORE)

    async def _is_client(self, form: dict[str, str]) -> bool:
        """Check private_key_jwt (RFC 7523 §3): signed with the client's key, for this issuer, once."""
        try:
            token = jwt.decode(form.get("client_assertion", ""), self._client_key, algorithms=[ALGORITHM])
        except (jose.JoseError, ValueError, TypeError, KeyError):
            return False
        said, now, name = token.claims, self._now(), self._client.client_id
        expires, jti = said.get("exp"), said.get("jti")
        if not (
            said.get("iss") == said.get("sub") == name and said.get("aud") in {self.issuer, f"{self.issuer}/token"}
        ):
            return False
        if form.get("client_assertion_type") != _ASSERTION or not isinstance(jti, str) or type(expires) is not int:
            return False
        if not now < expires <= now + _ASSERTION_LIFETIME_MAX:
            return False
        until, at = self._clock.now() + dt.timedelta(seconds=2 * _ASSERTION_LIFETIME_MAX), self._clock.now()
        return await self._once(self._ids.resource("assertion", jti).encode(), until, at)

    async def _userinfo(self, request: HttpRequest) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        said = self._seals["token"].open(token) if scheme.lower() == "bearer" else None
        if said is None:
            return _refused("invalid_token", HTTPStatus.UNAUTHORIZED)
        today = self._clock.now().date()
        told = claims.in_userinfo(_standing(said["who"]), said["scopes"].split(), self._ids, today)
        return JSONResponse(told, headers=NO_STORE)

    # --- out ---

    async def _leave(self, request: HttpRequest) -> Response:
        """RP-Initiated Logout: at once with `id_token_hint`, after a question without."""
        given = request.query_params
        back = given.get("post_logout_redirect_uri", "") == self._client.logged_out
        if (sid := self._hinted(given.get("id_token_hint", ""))) is None:
            return page.leave(language_of(request), {"back": "1"} if back else {})
        return await self._end(request, sid, back=back)

    async def _left(self, request: HttpRequest) -> Response:
        standing, form = self._standing(request), await form_of(request)
        return await self._end(
            request, (standing.session, standing.person.sub(self._ids)) if standing else None, back="back" in form
        )

    async def _end(self, request: HttpRequest, who: tuple[str, str] | None, *, back: bool) -> Response:
        answer: Response = (
            RedirectResponse(self._client.logged_out, HTTPStatus.SEE_OTHER, NO_STORE)
            if back
            else page.left(language_of(request))
        )
        answer.delete_cookie(COOKIE, path=ROOT)
        if who is not None:
            await self._notify(self.logout_token(*who))
        return answer

    def logout_token(self, session: str, sub: str) -> str:
        """Return the token that tells the client of a session's end (Back-Channel Logout §2.4)."""
        own = {
            "aud": self._client.client_id,
            "jti": str(uuid.uuid4()),
            "sub": sub,
            "sid": session,
            "events": {LOGOUT_EVENT: {}},
        }
        return self._signed(own, "logout+jwt", 120)

    def _hinted(self, token: str) -> tuple[str, str] | None:
        """Return session and sub of an ID token of our own, however old."""
        try:
            said = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
        except (jose.JoseError, ValueError, TypeError, KeyError):
            return None
        ours = said.get("iss") == self.issuer and said.get("aud") == self._client.client_id
        return (str(said["sid"]), str(said["sub"])) if ours and "sid" in said and "sub" in said else None

    def _signed(self, own: dict[str, Any], kind: str, seconds: int) -> str:
        now = self._now()
        header = {"alg": ALGORITHM, "typ": kind, "kid": self._key.thumbprint()}
        times = {"iss": self.issuer, "iat": now, "exp": now + seconds}
        return jwt.encode(header, own | times, self._key, algorithms=[ALGORITHM])

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _plain(standing: Standing) -> list[Any]:
    return [standing.person.name, int(standing.level), standing.at, standing.session]


def _standing(said: list[Any]) -> Standing:
    return Standing(PEOPLE[said[0]], Assurance(said[1]), said[2], said[3])


def _half(access_token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()[:16]).rstrip(b"=").decode()


def _refused(error: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> Response:
    return JSONResponse({"error": error}, status, NO_STORE)
