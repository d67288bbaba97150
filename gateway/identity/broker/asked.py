"""An authorization request to the local issuer, checked as a broker checks it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from gateway import errors
from gateway.access import Assurance
from gateway.formats import json
from gateway.identity.login.words import Language

SCOPES: Final = ("openid", "mitid", "ssn", "nemlogin")
_CHALLENGE_CHARACTERS: Final = 43
_TEXT_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class Client:
    """The one client of the local issuer: the gateway itself."""

    client_id: str
    redirect: str
    logged_out: str


class Wrong(Exception):
    """A request that is not answered by a redirect (RFC 6749 §4.1.2.1): `text` is for whoever sets up the client."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `error` is what the client is told instead of a code, '' when nothing is wrong."""

    redirect: str
    state: str
    nonce: str
    challenge: str
    scopes: str
    level: str
    language: Language
    prompt: str
    max_age: int
    error: str

    @classmethod
    def of(cls, given: Mapping[str, str], client: Client) -> Self:
        """Read a request. Raises Wrong for another client or address."""
        if given.get("client_id") != client.client_id:
            raise Wrong("unauthorized_client: client_id is not known")
        if given.get("redirect_uri") != client.redirect:
            raise Wrong("invalid_request: redirect_uri is not the registered one")
        age = given.get("max_age", "")
        return cls(
            client.redirect,
            given.get("state", ""),
            given.get("nonce", ""),
            given.get("code_challenge", ""),
            given.get("scope", ""),
            _level(given.get("idp_params", "")),
            "en" if given.get("language", given.get("ui_locales", "")) == "en" else "da",
            given.get("prompt", ""),
            int(age) if age.isascii() and age.isdigit() else -1,
            _error(given),
        )

    @property
    def wanted(self) -> Assurance:
        """The level asked for; `substantial` where nothing is said, as the broker has it."""
        return Assurance[self.level.upper()]

    def as_json(self) -> dict[str, Any]:
        """Return it for sealing."""
        return asdict(self)


def _error(given: Mapping[str, str]) -> str:
    scopes = given.get("scope", "").split()
    if any(len(value) > _TEXT_MAX for value in given.values()):
        return "invalid_request"
    if given.get("response_type") != "code":
        return "unsupported_response_type"
    if "openid" not in scopes or set(scopes) - set(SCOPES):
        return "invalid_scope"
    challenged = given.get("code_challenge_method") == "S256"
    if not (challenged and len(given.get("code_challenge", "")) == _CHALLENGE_CHARACTERS and given.get("nonce")):
        return "invalid_request"
    return ""


def _level(parameters: str) -> str:
    """Return `mitid.loa_value` of idp_params."""
    try:
        said = json.loads(parameters).get("mitid", {}).get("loa_value") if parameters else None
    except (errors.Incorrect, AttributeError):
        said = None
    return said if said in {"low", "substantial", "high"} else "substantial"
