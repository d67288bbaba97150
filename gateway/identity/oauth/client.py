"""A registered client as a value: what it may ask for, and how it shows who it is. Where it comes from: `registration`.

The methods named `check_…` and `get_…` are what authlib's grants ask a client (its ClientMixin).
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.access import Assurance, Kind, Purpose
from gateway.access import scopes as access_scopes
from gateway.access.scopes import Grant, Scopes

CODE: Final = "authorization_code"
REFRESH: Final = "refresh_token"
CREDENTIALS: Final = "client_credentials"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"


class Sort(enum.StrEnum):
    """What kind of client it is (RFC 6749 §2.1, and SMART's backend services)."""

    PUBLIC = "public"  # an app in a browser or a phone: cannot keep a secret, so it has none
    CONFIDENTIAL = "confidential"  # an app with a server, which signs (private_key_jwt)
    SYSTEM = "system"  # nobody is at it: SMART Backend Services


class Binding(enum.StrEnum):
    """What a token is bound to beside whoever holds it."""

    NONE = "none"
    DPOP = "dpop"  # RFC 9449: a key of the client's
    MTLS = "mtls"  # RFC 8705: the certificate of its TLS connection


@dataclass(frozen=True, slots=True)
class Client:
    """One registration. '' and () are what does not apply."""

    id: str
    name: Mapping[str, str]
    """Language → name, `da` and `en`."""
    sort: Sort
    scopes: Scopes
    redirect_uris: tuple[str, ...] = ()
    launch_uri: str = ""
    post_logout_redirect_uris: tuple[str, ...] = ()
    jwks: Mapping[str, Any] | None = field(default=None, hash=False)
    jwks_uri: str = ""
    algorithm: str = ""
    """The one algorithm its assertions are signed with."""
    users: frozenset[Kind] = frozenset()
    """Whose log-ins it may use."""
    purposes: tuple[Purpose, ...] = ()
    """The first is meant where it says none."""
    organisation: str = ""
    binding: Binding = Binding.NONE
    assurance: Assurance = Assurance.SUBSTANTIAL
    lifetime: dt.timedelta = dt.timedelta(minutes=5)
    refresh_lifetime: dt.timedelta = dt.timedelta(days=30)
    asks: bool = True
    """Whether the user is asked (True), or the organisation has agreed for its staff."""
    pushed: bool = False
    """Whether it may only come by pushed authorization requests (RFC 9126)."""
    launches: frozenset[str] = frozenset()
    """Clients that it may make launches for: an electronic health record."""
    exchanges: frozenset[str] = frozenset()
    """Clients whose users' tokens it may exchange (RFC 8693)."""
    introspects: bool = False
    """Whether it may ask about tokens of other clients."""

    @property
    def keyed(self) -> bool:
        """Whether it must sign to be believed."""
        return self.sort is not Sort.PUBLIC

    @property
    def origins(self) -> frozenset[str]:
        """Where its pages come from, for CORS."""
        found = (urlsplit(uri) for uri in self.redirect_uris)
        return frozenset(f"{at.scheme}://{at.netloc}" for at in found if at.scheme in {"http", "https"})

    def title(self, language: str) -> str:
        """Return its name for people."""
        return self.name.get(language) or self.name["en"]

    # ── what authlib asks ────────────────────────────────────────────────────────────

    def get_client_id(self) -> str:
        """Return its id."""
        return self.id

    def get_default_redirect_uri(self) -> str | None:
        """Return None: SMART wants the address to be said."""
        return None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Say whether an address is registered, character by character (RFC 9700 §2.1)."""
        return redirect_uri in self.redirect_uris

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Say whether it authenticates so: `authentication` has seen to it before authlib asks."""
        return method == "authenticated"

    def check_response_type(self, response_type: str) -> bool:
        """Say whether it may use a response type."""
        return response_type == "code" and self.sort is not Sort.SYSTEM

    def check_grant_type(self, grant_type: str) -> bool:
        """Say whether it may use a grant."""
        match grant_type:
            case "client_credentials":
                return self.sort is Sort.SYSTEM
            case "urn:ietf:params:oauth:grant-type:token-exchange":
                return bool(self.exchanges)
            case _:
                return self.sort is not Sort.SYSTEM and grant_type in {CODE, REFRESH}

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return what of the scopes asked for it is registered for; None when nothing is left."""
        contexts = {"system"} if self.sort is Sort.SYSTEM else {"patient", "user"}
        return narrowed((scope or "").split(), self.scopes, contexts) or None


def narrowed(asked: Sequence[str], held: Scopes, contexts: Iterable[str]) -> str:
    """Return the scopes `asked` for, as far as `held` ones open them: by blanks, '' for nothing.

    Scopes nobody knows are left out (RFC 6749 §3.3), as are those of another context. A wildcard becomes the types that
    are held; what is held with a constraint is given with it. What is wholly held is given in the words asked for,
    SMART v1's too.
    """
    given: list[str] = []
    for word in list(dict.fromkeys(asked))[: access_scopes.SCOPES_MAX]:
        if word in held.others or (word.startswith("ingest/") and word.removeprefix("ingest/") in held.feeds):
            given.append(word)
        elif (wanted := access_scopes.read(word)) and wanted.context in contexts:
            met = [both for grant in held.grants if (both := _meet(wanted, grant))]
            whole = any(both == wanted for both in met)
            given += [word] if whole else [both.text for both in met]
    return " ".join(dict.fromkeys(given))


def _meet(wanted: Grant, held: Grant) -> Grant | None:
    """Return what two scopes both open, None when that is nothing."""
    if wanted.context != held.context:
        return None
    if "*" not in {wanted.type, held.type} and wanted.type != held.type:
        return None
    letters = "".join(letter for letter in wanted.letters if letter in held.letters)
    if not letters:
        return None
    kind = held.type if wanted.type == "*" else wanted.type
    return Grant(wanted.context, kind, letters, tuple(dict.fromkeys((*wanted.constraint, *held.constraint))))
