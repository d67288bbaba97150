"""What each broker calls things: a request in its words, and its claims as one set of facts. Tables, no conversation.

Sources: Signaturgruppen/NEB broker documentation (issued claims, MitID, MitID Erhverv), Idura (Criipto) e-ID pages, Signicat
MitID attributes; the region's own provider says what it says in the settings. A claim that a broker may leave out may be
absent: names above all (name and address protection). A CPR number is in `Seen` and goes no further than `mapping`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.access import Assurance, Kind
from gateway.formats import json
from gateway.identity import claims as token_claims
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.providers import Provider

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a broker. `max_age` in seconds, None for any; `step_up`: beyond a session that runs."""

    kind: Kind
    assurance: Assurance
    language: str
    max_age: int | None = None
    force: bool = False
    step_up: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What the claims say, whoever made them. '' is what they do not say."""

    kind: Kind
    assurance: Assurance
    cpr: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    professional: str = ""
    """Under what the organisation knows an employee."""
    employer: tuple[str, ...] = ()
    """P-number and CVR, the narrower first."""
    organisation: str = ""
    role: str = ""
    authorisation: str = ""
    transaction: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """One broker's words. `request` gives the parameters beside those of OpenID Connect itself."""

    algorithm: str
    scopes: Mapping[Kind, str]
    request: Callable[[Wish, Provider], dict[str, str]]
    seen: Callable[[Claims, Provider], Seen]
    numbers: frozenset[str]
    """Claims that hold a person's number: a token with one of them is not kept."""


def text(claims: Claims, *names: str) -> str:
    """Return the first of these claims that is a text, '' when none is."""
    return next((value for name in names if isinstance(value := claims.get(name), str) and value), "")


def _true(claims: Claims, name: str) -> bool:
    return claims.get(name) in (True, "true", "True")


def _level(provider: Provider, *words: str) -> Assurance:
    """Return the first level that is known among these words: by the settings, an NSIS URI or its last word."""
    for word in words:
        found = Assurance[provider.levels[word].upper()] if word in provider.levels else token_claims.level(word)
        if found:
            return found
    return Assurance.NONE


_PROTECTED: Final = frozenset({"NAVNE & ADRESSEBESKYTTET", "Pseudonym"})


def _name(claims: Claims, *names: str) -> str:
    found = text(claims, *names)
    return "" if found in _PROTECTED else found


# --- Signaturgruppen / Nets eID Broker ---

_NEB_KINDS: Final = {"private": Kind.CITIZEN, "professional": Kind.STAFF}
_NEB_IDPS: Final = {"mitid": Kind.CITIZEN, "mitid_erhverv": Kind.STAFF}


def _neb_request(wish: Wish, provider: Provider) -> dict[str, str]:
    idp = provider.idp_values or ("mitid" if wish.kind is Kind.CITIZEN else "mitid_erhverv")
    asked = {"idp_values": idp, "language": wish.language}
    if "mitid" in idp.split():
        mitid: dict[str, Any] = {"loa_value": wish.assurance.name.lower()}
        if wish.step_up:
            mitid["enable_step_up"] = True
        asked["idp_params"] = json.dumps({"mitid": mitid}).decode()
    return asked


def _neb(claims: Claims, provider: Provider) -> Seen:
    idp, identity = text(claims, "idp"), text(claims, "identity_type")
    kind = _NEB_KINDS.get(identity)
    if identity == "test" and provider.test_identities:
        kind = _NEB_IDPS.get(idp)
    if kind is None or _NEB_IDPS.get(idp) is not kind:
        raise LoginFailed(Fault.INVALID, "idp and identity_type do not belong together")
    if provider.idp_values and idp not in provider.idp_values.split():
        raise LoginFailed(Fault.NOT_THIS_WAY, "idp")
    level = _level(provider, text(claims, "loa"))
    transaction, session = text(claims, "transaction_id"), text(claims, "sid", "neb_sid")
    if kind is Kind.CITIZEN:
        name = _name(claims, "mitid.identity_name")
        return Seen(kind, level, cpr=text(claims, "dk.cpr"), name=name, transaction=transaction, session=session)
    return Seen(
        kind,
        min(level, Assurance.SUBSTANTIAL),  # the broker of MitID Erhverv is registered at Substantial
        name=_name(claims, "nemlogin.name"),
        professional=text(claims, "nemlogin.persistent_professional_id"),
        employer=_some(claims, "nemlogin.p_number", "nemlogin.cvr"),
        transaction=transaction,
        session=session,
    )


def _some(claims: Claims, *names: str) -> tuple[str, ...]:
    return tuple(value for name in names if (value := text(claims, name)))


# --- Idura (Criipto) ---

_IDURA: Final = "urn:grn:authn:dk:mitid:"


def _idura_request(wish: Wish, _: Provider) -> dict[str, str]:
    level = wish.assurance.name.lower() if wish.kind is Kind.CITIZEN else "business"
    return {"acr_values": _IDURA + level, "ui_locales": wish.language}


def _idura(claims: Claims, provider: Provider) -> Seen:
    if not text(claims, "identityscheme").startswith("dkmitid"):
        raise LoginFailed(Fault.NOT_THIS_WAY, "identityscheme")
    if _true(claims, "companySignatory"):
        raise LoginFailed(Fault.NOT_THIS_WAY, "a company's signatory")
    words = [text(claims, name) for name in ("loa", "acr", "authenticationtype")]
    level = _level(provider, *words, *(word.removeprefix(_IDURA) for word in words))
    session = text(claims, "sid", "sessionindex")
    if not _true(claims, "employee"):
        cpr, name = text(claims, "cprNumberIdentifier"), _name(claims, "name")
        return Seen(Kind.CITIZEN, level, cpr=cpr, name=name, session=session)
    return Seen(
        Kind.STAFF,
        min(level, Assurance.SUBSTANTIAL),
        name=_name(claims, "name"),
        professional=text(claims, "uuid"),
        employer=_some(claims, "productionUnit", "cvrNumberIdentifier"),
        session=session,
    )


# --- Signicat ---


def _signicat_request(wish: Wish, _: Provider) -> dict[str, str]:
    return {"ui_locales": wish.language}


def _signicat(claims: Claims, provider: Provider) -> Seen:
    danish = text(claims, "nin_type") == "PERSON" and text(claims, "nin_issuing_country") == "DK"
    return Seen(
        Kind.CITIZEN,
        _level(provider, text(claims, "mitid_loa")),
        cpr=text(claims, "nin") if danish else "",
        name="" if _true(claims, "mitid_name_and_address_protection") else _name(claims, "name"),
        transaction=text(claims, "mitid_transaction_id"),
        session=text(claims, "sid"),
    )


# --- a region's own provider ---

_OIDC_CLAIMS: Final[Mapping[str, str]] = {
    "name": "name",
    "organisation": "sor",
    "role": "role",
    "authorisation": "authorisation",
    "level": "acr",
    "session": "sid",
}


def _oidc_request(wish: Wish, _: Provider) -> dict[str, str]:
    return {"acr_values": token_claims.acr(wish.assurance), "ui_locales": wish.language}


def _oidc(claims: Claims, provider: Provider) -> Seen:
    own = {**_OIDC_CLAIMS, **{str(ours): theirs for ours, theirs in provider.claims.items()}}
    said = {ours: text(claims, theirs) for ours, theirs in own.items()}
    level, name = _level(provider, said["level"]), _name(said, "name")
    if provider.kinds == {"citizen"}:
        return Seen(Kind.CITIZEN, level, cpr=said.get("cpr", ""), name=name, session=said["session"])
    return Seen(
        Kind.STAFF,
        level,
        name=name,
        professional=text(claims, "sub"),
        organisation=said["organisation"],
        role=said["role"],
        authorisation=said["authorisation"],
        session=said["session"],
    )


def numbers(provider: Provider) -> frozenset[str]:
    """Return the claims of a provider that hold a person's number."""
    return PROFILES[provider.profile].numbers | {claim for ours, claim in provider.claims.items() if ours == "cpr"}


PROFILES: Final[Mapping[str, Profile]] = {
    "neb": Profile(
        "ES256",
        {Kind.CITIZEN: "openid mitid ssn", Kind.STAFF: "openid nemlogin"},
        _neb_request,
        _neb,
        frozenset({"dk.cpr", "nemlogin.cpr"}),
    ),
    "idura": Profile(
        "RS256",
        {Kind.CITIZEN: "openid ssn", Kind.STAFF: "openid"},
        _idura_request,
        _idura,
        frozenset({"cprNumberIdentifier"}),
    ),
    "signicat": Profile(
        "RS256",
        {Kind.CITIZEN: "openid profile idp-id nin mitid-extra", Kind.STAFF: "openid profile"},
        _signicat_request,
        _signicat,
        frozenset({"nin"}),
    ),
    "oidc": Profile(
        "RS256", {Kind.CITIZEN: "openid profile", Kind.STAFF: "openid profile"}, _oidc_request, _oidc, frozenset()
    ),
}
