"""Client registrations: a folder of TOML files, one client a file, reviewed by people. There is no open registration.

A file that cannot be used stops the start and says why, line by line (`sundbro client check FILE` says it beforehand).
Files that change while the gateway runs are read again within seconds; a change that cannot be used is told, and what was
registered before goes on. docs/how-to/register-client.md explains every line.
"""

from __future__ import annotations

import datetime as dt
import re
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pydantic
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gateway.access import Assurance, Kind, Purpose
from gateway.access import scopes as access_scopes
from gateway.errors import Misconfigured
from gateway.identity.oauth.client import Binding, Client, Sort

ALGORITHMS: Final = ("RS384", "ES384", "PS256", "ES256")
"""SMART Backend Services names the first two, FAPI 2.0 the others."""
KEY_TYPES: Final = {"RS384": ("RSA", ""), "PS256": ("RSA", ""), "ES384": ("EC", "P-384"), "ES256": ("EC", "P-256")}
RSA_BITS_MIN: Final = 2048
KEYS_MAX: Final = 20
_LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})
_SEEN_SECONDS: Final = 5.0
_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


class ClientFile(pydantic.BaseModel):
    """The lines of a registration."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    id: str = pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,63}$", description="client_id.")
    name: dict[str, str] = pydantic.Field(description="What people read: `da` and `en`.")
    kind: Sort = pydantic.Field(description="public, confidential or system.")
    scopes: list[str] = pydantic.Field(description="All that it may ever ask for, in SMART's grammar.")
    redirect_uris: list[str] = pydantic.Field(
        [], description="Where codes may be sent; compared character by character."
    )
    launch_uri: str = pydantic.Field("", description="Where a launch from a health record opens the app.")
    post_logout_redirect_uris: list[str] = pydantic.Field([], description="Where a log-out may end.")
    jwks: dict[str, Any] | None = pydantic.Field(None, description="Its public keys, inline; or jwks_uri.")
    jwks_uri: str = pydantic.Field("", description="Where its public keys are; the host must be in SUNDBRO_JWKS_HOSTS.")
    algorithm: Literal["RS384", "ES384", "PS256", "ES256", ""] = pydantic.Field("", description="What it signs with.")
    users: list[Literal["citizen", "staff", "operator"]] = pydantic.Field([], description="Whose log-ins it may use.")
    purposes: list[Purpose] = pydantic.Field([], description="What for; the first is meant where it says none.")
    feeds: list[str] = pydantic.Field([], description="Feeds that it may post to.")
    organisation: str = pydantic.Field("", pattern=r"^\d{0,20}$", description="SOR code of whom it belongs to.")
    binding: Binding = pydantic.Field(Binding.NONE, description="none, dpop or mtls.")
    assurance: Literal["low", "substantial", "high"] = pydantic.Field("substantial", description="NSIS level at least.")
    lifetime_seconds: int = pydantic.Field(300, ge=30, le=3600, description="How long an access token holds.")
    refresh_days: int = pydantic.Field(30, ge=1, le=365, description="How long a user need not log in again.")
    consent: Literal["ask", "registered"] = pydantic.Field(
        "ask", description="registered: agreed for staff, not asked."
    )
    pushed: bool = pydantic.Field(False, description="Only by pushed authorization requests (RFC 9126).")
    launches: list[str] = pydantic.Field([], description="Clients that it may launch: it is a health record.")
    exchanges: list[str] = pydantic.Field([], description="Clients whose users' tokens it may exchange (RFC 8693).")
    introspects: bool = pydantic.Field(False, description="May ask about every client's tokens.")


def read(path: Path) -> Client:
    """Read one file. Raises Misconfigured with every line that cannot be used."""
    try:
        lines = ClientFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"the client file {path.name} cannot be read: {error}") from None
    except pydantic.ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        raise Misconfigured(f"the client file {path.name} cannot be used: {'; '.join(wrong)}") from None
    if wrong := [*_wrong(lines), *_wrong_scopes(lines), *_wrong_keys(lines)]:
        raise Misconfigured(f"the client file {path.name} cannot be used: {'; '.join(wrong)}")
    return _client(lines)


def _client(lines: ClientFile) -> Client:
    return Client(
        id=lines.id,
        name=lines.name,
        sort=lines.kind,
        scopes=access_scopes.parse([*lines.scopes, *(f"ingest/{feed}" for feed in lines.feeds)]),
        redirect_uris=tuple(lines.redirect_uris),
        launch_uri=lines.launch_uri,
        post_logout_redirect_uris=tuple(lines.post_logout_redirect_uris),
        jwks=lines.jwks,
        jwks_uri=lines.jwks_uri,
        algorithm=lines.algorithm,
        users=frozenset(Kind(user) for user in lines.users),
        purposes=tuple(lines.purposes) or ((Purpose.SHARING,) if lines.kind is Sort.SYSTEM else ()),
        organisation=lines.organisation,
        binding=lines.binding,
        assurance=Assurance[lines.assurance.upper()],
        lifetime=dt.timedelta(seconds=lines.lifetime_seconds),
        refresh_lifetime=dt.timedelta(days=lines.refresh_days),
        asks=lines.consent == "ask",
        pushed=lines.pushed,
        launches=frozenset(lines.launches),
        exchanges=frozenset(lines.exchanges),
        introspects=lines.introspects,
    )


def _wrong(lines: ClientFile) -> list[str]:
    wrong = [] if set(lines.name) == {"da", "en"} and all(lines.name.values()) else ["name: da and en, both"]
    system = lines.kind is Sort.SYSTEM
    if system and (lines.redirect_uris or lines.users or lines.launch_uri):
        wrong.append("kind: a system has neither redirect_uris, launch_uri nor users")
    if not system and not (lines.redirect_uris and lines.users):
        wrong.append("redirect_uris and users: an app needs both")
    named = {"redirect_uris": lines.redirect_uris, "post_logout_redirect_uris": lines.post_logout_redirect_uris}
    named["launch_uri"] = [lines.launch_uri] if lines.launch_uri else []
    for name, uris in named.items():
        wrong += [f"{name}: {why}" for uri in uris if (why := _wrong_uri(uri, native=lines.kind is Sort.PUBLIC))]
    if lines.kind is Sort.PUBLIC and ({*lines.exchanges} - {lines.id} or lines.launches or lines.introspects):
        wrong.append(
            "kind: a public client has no key: it exchanges its own tokens alone, launches and introspects nothing"
        )
    own = {Kind.CITIZEN: {Purpose.OWN}, Kind.OPERATOR: {Purpose.OPERATION}}
    staff = {Purpose.TREATMENT, Purpose.VAERDISPRING, Purpose.CONSENT, Purpose.QUALITY}
    allowed = {Purpose.SHARING, Purpose.OPERATION} if system else set()
    for user in lines.users:
        allowed |= own.get(Kind(user), staff)
    if strange := [purpose.value for purpose in lines.purposes if purpose not in allowed]:
        wrong.append(f"purposes: {', '.join(strange)} is no purpose of those who use it")
    return wrong


def _wrong_uri(uri: str, *, native: bool) -> str:
    """Return what is wrong with an address of an app, '' when nothing is (RFC 9700 §2.1, RFC 8252)."""
    try:
        at = urlsplit(uri)
        host = at.hostname or ""
    except ValueError:
        return "not an address"
    if at.fragment or "#" in uri or at.username or at.password or not uri.isascii() or re.search(r"[\s\"<>\\]", uri):
        return "an address has no fragment, no user and no blank"
    if at.scheme == "https":
        return "" if host and "*" not in host else "https:// and a host without wildcard"
    if at.scheme == "http":
        return "" if f"[{host}]" in _LOOPBACK or host in _LOOPBACK else "http is for loopback alone"
    return (
        "" if native and _SCHEME.fullmatch(at.scheme) else "https, or of a public client a scheme like com.example.app"
    )


def _wrong_scopes(lines: ClientFile) -> list[str]:
    try:
        scopes = access_scopes.parse([*lines.scopes, *(f"ingest/{feed}" for feed in lines.feeds)])
    except access_scopes.ScopeError as error:
        return [f"scopes: {error}"]
    system = lines.kind is Sort.SYSTEM
    contexts = {"system"} if system else {"patient", "user"}
    contexts |= {"patient", "user"} if lines.exchanges else set()
    if any(grant.context not in contexts for grant in scopes.grants):
        return [
            "scopes: system/ is for systems alone, patient/ and user/ for apps, and for systems that exchange tokens"
        ]
    if system and scopes.others:
        return ["scopes: openid, launch and the like are for apps alone"]
    return [] if scopes.text else ["scopes: at least one, or a feed"]


def _wrong_keys(lines: ClientFile) -> list[str]:
    if lines.kind is Sort.PUBLIC:
        return ["jwks: a public client has no keys"] if lines.jwks or lines.jwks_uri or lines.algorithm else []
    if bool(lines.jwks) is bool(lines.jwks_uri) or not lines.algorithm:
        return [f"algorithm, and one of jwks and jwks_uri: {' '.join(ALGORITHMS)}"]
    if lines.jwks_uri:
        return [] if urlsplit(lines.jwks_uri).scheme == "https" else ["jwks_uri: https alone"]
    why = wrong_jwks(lines.jwks, lines.algorithm)
    return [f"jwks: {why}"] if why else []


def wrong_jwks(jwks: Any, algorithm: str) -> str:
    """Return what is wrong with a set of public keys, '' when at least one fits the algorithm and none is private."""
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= KEYS_MAX or not all(isinstance(key, dict) for key in keys):
        return f"a list `keys` of one to {KEYS_MAX}"
    if any("d" in key or key.get("kty") == "oct" for key in keys):
        return "a private key is in it: it is not secret any more"
    kids = [key.get("kid") for key in keys]
    if not all(isinstance(kid, str) and kid for kid in kids) or len(set(kids)) < len(kids):
        return "every key has a kid of its own"
    kind, curve = KEY_TYPES[algorithm]
    fitting = [key for key in keys if key.get("kty") == kind and key.get("crv", "") == curve]
    if not fitting:
        return f"no key of type {kind} {curve} for {algorithm}"
    try:
        found = KeySet.import_key_set({"keys": fitting})
        small = any(key.key_type == "RSA" and key.public_key.key_size < RSA_BITS_MIN for key in found.keys)  # type: ignore[union-attr]
    except (JoseError, ValueError, TypeError, KeyError):
        return "a key that cannot be read"
    return f"RSA keys have at least {RSA_BITS_MIN} bits" if small else ""


class Registry:
    """The clients that are registered now. `told` hears why a changed folder was not taken over."""

    def __init__(self, folder: Path | None, told: Callable[[str], None] | None = None) -> None:
        self._folder = folder
        self._told = told or (lambda _: None)
        self._clients: dict[str, Client] = {}
        self._marks: frozenset[tuple[str, int, int]] = frozenset()
        self._looked = 0.0
        self._read()

    def get(self, client_id: str) -> Client | None:
        """Return a client, None when nobody is called so."""
        self._look()
        return self._clients.get(client_id)

    @property
    def origins(self) -> frozenset[str]:
        """Where the pages of registered apps come from."""
        self._look()
        return frozenset[str]().union(*(client.origins for client in self._clients.values()))

    def all(self) -> tuple[Client, ...]:
        """Return every client."""
        return tuple(self._clients.values())

    def _look(self) -> None:
        if time.monotonic() - self._looked < _SEEN_SECONDS:
            return
        try:
            if self._stamps() != self._marks:
                self._read()
        except Misconfigured as error:
            self._told(error.text)
        self._looked = time.monotonic()

    def _stamps(self) -> frozenset[tuple[str, int, int]]:
        if self._folder is None:
            return frozenset()
        try:
            stats = [(path.name, path.stat()) for path in self._folder.glob("*.toml")]
        except OSError as error:
            raise Misconfigured(f"the clients' folder cannot be read: {error.strerror}") from None
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)

    def _read(self) -> None:
        """Read the folder anew, all of it or nothing."""
        self._looked = time.monotonic()
        if self._folder is None:
            return
        if not self._folder.is_dir():
            raise Misconfigured(f"SUNDBRO_CLIENTS: there is no folder {self._folder}")
        self._marks = self._stamps()
        found: dict[str, Client] = {}
        for path in sorted(self._folder.glob("*.toml")):
            client = read(path)
            if client.id in found:
                raise Misconfigured(f"the client file {path.name}: another file has the id {client.id}")
            found[client.id] = client
        named = set().union(*(client.launches | client.exchanges for client in found.values()), set())
        if missing := named - set(found):
            raise Misconfigured(f"client files name clients that are not there: {', '.join(sorted(missing))}")
        self._clients = found
