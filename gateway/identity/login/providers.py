"""Identity providers as an operator describes them: one TOML file, a table a provider. Read at start, checked whole.

Secrets do not stand in the file: it names files that hold them, which only their owner may read.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import pydantic

from gateway.access import Kind
from gateway.errors import Misconfigured

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_Name = Annotated[str, pydantic.Field(pattern="^[a-z][a-z0-9-]{0,40}$")]
Level = Literal["low", "substantial", "high"]
Algorithm = Literal["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]


class Employee(pydantic.BaseModel):
    """What an organisation says of one who works for it: MitID Erhverv knows who he is, not what he may do."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    organisation: str = pydantic.Field("", description="SOR code; empty: the one of the provider's `organisations`.")
    role: str = pydantic.Field("", description="DK Core profession code (7170 doctor, 5166 nurse), or a national role.")
    authorisation: str = pydantic.Field("", description="Health authorisation id (autregweb.sst.dk).")
    operator: bool = pydantic.Field(False, description="Runs the gateway, and sees no health data.")


class Provider(pydantic.BaseModel):
    """One identity provider. docs/how-to/mitid.md explains the lines."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    issuer: str = pydantic.Field(description="As the provider's discovery document says it, to the letter.")
    profile: Literal["neb", "idura", "signicat", "oidc"] = pydantic.Field(description="Whose claims it speaks.")
    client_id: str = pydantic.Field(min_length=1, description="This gateway's name at the provider.")
    client_key: Path | None = pydantic.Field(None, description="Private JWK (file) for private_key_jwt.")
    client_secret: Path | None = pydantic.Field(None, description="File with the secret, where there is no key.")
    algorithm: Algorithm | None = pydantic.Field(
        None, description="Of ID tokens, as registered; default: the profile's."
    )
    kinds: frozenset[Literal["citizen", "staff"]] = pydantic.Field(
        default=frozenset({"citizen"}), min_length=1, description="Who logs in here."
    )
    title_da: str = pydantic.Field("MitID", description="What the choice is called, in Danish.")
    title_en: str = pydantic.Field("MitID", description="What the choice is called, in English.")
    scope: str = pydantic.Field("", description="Scopes instead of the profile's.")
    idp_values: str = pydantic.Field("", description="NEB: mitid, mitid_erhverv; empty: by `kinds`.")
    parameters: dict[str, str] = pydantic.Field(default_factory=dict, description="More parameters of the request.")
    hosts: frozenset[str] = pydantic.Field(
        default_factory=frozenset, description="Hosts beside the issuer's that its endpoints may stand at."
    )
    ca: Path | None = pydantic.Field(
        None, description="CA (PEM) of the provider's certificate, where it is a private one."
    )
    test_identities: bool = pydantic.Field(False, description="Takes identity_type `test` (pre-production alone).")
    claims: dict[Literal["cpr", "name", "organisation", "role", "authorisation", "level", "session"], str] = (
        pydantic.Field(default_factory=dict, description="Profile oidc: our name → the provider's claim.")
    )
    levels: dict[str, Level] = pydantic.Field(
        default_factory=dict, description="The provider's word for a level of assurance → low, substantial, high."
    )
    organisations: dict[str, str] = pydantic.Field(default_factory=dict, description="P-number or CVR → SOR code.")
    staff: dict[str, Employee] = pydantic.Field(
        default_factory=dict, description="Professional id (or sub) → what he is here."
    )

    def takes(self, kind: Kind) -> bool:
        """Say whether this kind of person logs in here; whoever runs the gateway does so as staff."""
        return ("citizen" if kind is Kind.CITIZEN else "staff") in self.kinds


def read(path: Path, *, production: bool) -> dict[str, Provider]:
    """Return the providers of a file by name, in its order. Raises Misconfigured naming every wrong line."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        names = pydantic.TypeAdapter(dict[_Name, Provider])
        found = names.validate_python(tables)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"the file of identity providers {path} cannot be read: {error}") from error
    except pydantic.ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise Misconfigured(f"{path}: {wrong}") from None
    if not found:
        raise Misconfigured(f"{path} describes no identity provider")
    for name, provider in found.items():
        for wrong in _unsafe(provider, production=production):
            raise Misconfigured(f"{path}: {name}: {wrong}")
    return {name: _with_files(provider, path.parent) for name, provider in found.items()}


def _unsafe(provider: Provider, *, production: bool) -> list[str]:
    parts = urlsplit(provider.issuer)
    wrong = []
    if parts.scheme != "https" and (production or parts.scheme != "http" or parts.hostname not in LOOPBACK):
        wrong.append("issuer is an https address")
    if parts.query or parts.fragment or "@" in parts.netloc:
        wrong.append("issuer has no query, fragment or password")
    if bool(provider.client_key) == bool(provider.client_secret):
        wrong.append("either client_key or client_secret names a file")
    if production and provider.test_identities:
        wrong.append("test_identities is for pre-production")
    return wrong


def _with_files(provider: Provider, folder: Path) -> Provider:
    named = {name: folder / path for name in ("client_key", "client_secret", "ca") if (path := getattr(provider, name))}
    return provider.model_copy(update=named)


def secret(path: Path) -> str:
    """Return the text of a secret's file. Raises Misconfigured where others than its owner can read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise Misconfigured(f"{path} can be read by others than its owner: chmod 600")
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {type(error).__name__}") from error
