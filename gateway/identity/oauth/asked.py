"""An authorization request: what must be true of it before a user is troubled, and what of a log-in it needs.

RFC 6749 §4.1.1 and PKCE are authlib's (`protocol`); here stand SMART's own rules (aud, launch, state), OpenID Connect's
(prompt, max_age, acr_values) and this gateway's (purpose, NSIS level). Nothing is stored and nobody is asked here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from authlib.oauth2.rfc6749.errors import InvalidRequestError, OAuth2Error

from gateway.access import Assurance, Kind, Purpose
from gateway.clock import UTC
from gateway.formats import json
from gateway.identity.claims import level
from gateway.identity.oauth.client import Client
from gateway.identity.oauth.pages import language_of
from gateway.identity.session import LogIn

STATE_MAX: Final = 1024
VALUE_MAX: Final = 4096
MAX_AGE_DIGITS: Final = 8
FRESH: Final = {Purpose.VAERDISPRING: dt.timedelta(minutes=5)}
"""For these the log-in must be of now."""
ASSURANCE: Final[Mapping[Purpose, Assurance]] = dict.fromkeys(Purpose, Assurance.SUBSTANTIAL)
"""The NSIS level that a purpose needs at least (docs/explanation/identity.md); a registration may ask for more."""
DEFAULT: Final = {Kind.CITIZEN: Purpose.OWN, Kind.STAFF: Purpose.TREATMENT, Kind.OPERATOR: Purpose.OPERATION}
_PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})


class AskedError(OAuth2Error):
    """An error of OpenID Connect or RFC 9470: `login_required`, `consent_required`, …"""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(description=text, error=error)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may be put to a user."""

    form: Mapping[str, str]
    at: dt.datetime
    sent: int = 0
    """How often its user was sent to log in."""

    @property
    def prompts(self) -> frozenset[str]:
        """What the app wants of the log-in and of the page."""
        return frozenset(self.form.get("prompt", "").split())

    @property
    def redirect_uri(self) -> str:
        """Where the answer goes."""
        return self.form["redirect_uri"]

    @property
    def state(self) -> str:
        """The app's own mark."""
        return self.form.get("state", "")

    def purpose(self, kind: Kind) -> Purpose:
        """Return what the user comes for."""
        return Purpose(self.form["purpose"]) if "purpose" in self.form else DEFAULT[kind]

    def assurance(self, client: Client) -> Assurance:
        """Return the NSIS level that the log-in must have."""
        purposes = (
            [Purpose(self.form["purpose"])] if "purpose" in self.form else [DEFAULT[kind] for kind in client.users]
        )
        wished = [found for word in self.form.get("acr_values", "").split() if (found := level(word))]
        return max([client.assurance, *(ASSURANCE[one] for one in purposes), *wished[:1]])

    def since(self) -> dt.datetime | None:
        """Return the moment after which the user must have logged in, None when any log-in that lasts will do."""
        moments = []
        if self.prompts & {"login", "select_account"}:
            moments.append(self.at)
        if age := self.form.get("max_age"):
            moments.append(self.at - dt.timedelta(seconds=int(age)))
        if "purpose" in self.form and (fresh := FRESH.get(Purpose(self.form["purpose"]))):
            moments.append(self.at - fresh)
        return max(moments, default=None)

    def satisfied(self, login: LogIn, client: Client) -> bool:
        """Say whether a log-in is what the request needs: a professional's does not open a citizen's app."""
        since = self.since()
        return (
            login.kind in client.users
            and login.assurance >= self.assurance(client)
            and (since is None or login.at >= since)
        )

    def login_parameters(self, client: Client) -> dict[str, str]:
        """Return what the log-in page is told: who may log in, how surely, and whether anew."""
        told = {"assurance": self.assurance(client).name.lower(), "users": ",".join(sorted(client.users))}
        if self.since() is not None:
            told["prompt"] = "login"
        if locales := self.form.get("ui_locales"):
            told["lang"] = language_of(locales, "")
        return told

    def again(self) -> Asked:
        """Return the same, its user sent to log in once more."""
        return replace(self, sent=self.sent + 1)

    def packed(self) -> bytes:
        """Return it as bytes; `unpacked` makes the same of them."""
        return json.dumps({"form": dict(self.form), "at": int(self.at.timestamp() * 1_000_000), "sent": self.sent})

    @classmethod
    def unpacked(cls, body: bytes) -> Asked:
        """Read what `packed` wrote."""
        told = json.loads(body)
        at = dt.datetime.fromtimestamp(told["at"] // 1_000_000, UTC) + dt.timedelta(microseconds=told["at"] % 1_000_000)
        return cls(told["form"], at, told["sent"])


def check(form: Mapping[str, str], client: Client, audience: str) -> None:
    """Raise OAuth2Error for what SMART, OpenID Connect or this gateway does not take of a request."""
    if any(len(value) > VALUE_MAX for value in form.values()) or len(form.get("state", "")) > STATE_MAX:
        raise InvalidRequestError("a parameter is too long")
    if "request" in form:
        raise AskedError("request_not_supported", "push the request instead (RFC 9126)")
    if "response_type" not in form:
        raise InvalidRequestError("response_type is missing")
    if form["response_type"] != "code":
        raise AskedError("unsupported_response_type", "response_type is code")
    if not form.get("state"):
        raise InvalidRequestError("state is missing")
    if form.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode is query")
    named = {form[name] for name in ("aud", "resource") if name in form}
    if named != {audience}:
        raise InvalidRequestError("aud is the address of the FHIR server")
    prompts = set(form.get("prompt", "").split())
    if prompts - _PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise InvalidRequestError("prompt is none, or of login, consent, select_account")
    age = form.get("max_age", "0")
    if not (age.isascii() and age.isdigit() and len(age) <= MAX_AGE_DIGITS):
        raise InvalidRequestError("max_age is a number of seconds")
    if "purpose" in form and form["purpose"] not in client.purposes:
        raise InvalidRequestError("purpose is none that this client is registered for")
