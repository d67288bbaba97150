"""Settings → where people log in: the identity providers of a file, or the local issuer and its people in development."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from gateway.access import Assurance, Kind
from gateway.app.parts import Parts
from gateway.errors import Misconfigured
from gateway.identity.attempts import Attempts
from gateway.identity.broker.asked import SCOPES, Client
from gateway.identity.broker.provider import Broker
from gateway.identity.local import issuer_address, kept_key
from gateway.identity.login import providers
from gateway.identity.login.door import Current, LoginDoor
from gateway.identity.login.endings import Endings
from gateway.identity.login.out import LogoutDoor
from gateway.identity.login.providers import Employee, Provider
from gateway.identity.login.relying import Relying
from gateway.identity.login.sessions import Limits, LoginSessions
from gateway.identity.on_record import Record
from gateway.identity.people import at_the_login
from gateway.settings import Settings

LOCAL = "local"
"""The local issuer's name among the identity providers."""


@dataclass(slots=True)
class Logins:
    """Where people log in, and who is logged in. Without providers nobody logs in, and systems alone have tokens."""

    sessions: LoginSessions
    relying: Mapping[str, Relying]
    routes: list[BaseRoute]

    async def close(self) -> None:
        """Close the connections to the providers."""
        for each in self.relying.values():
            await each.close()


def logins_of(parts: Parts, record: Record, current: Current) -> Logins:
    """Return the log-in of these parts; `record` has on record who logs in, `current` knows merged records.

    Raises Misconfigured where a provider, a key or the address cannot be used.
    """
    settings, ids, clock = parts.settings, parts.ids, parts.clock
    production = settings.environment == "production"
    address = settings.address()
    secure = address.startswith("https://")
    sessions = sessions_of(parts)
    relying: dict[str, Relying] = {}
    own = Starlette()
    make = functools.partial(Relying, clock=clock, development=not production)
    if settings.login is not None:
        if production and not secure:
            raise Misconfigured("SUNDBRO_PUBLIC_URL is an https address in production: people log in there")
        for name, provider in providers.read(settings.login, production=production).items():
            relying[name] = make(provider, redirect=f"{address}/login/callback/{name}")
    elif not production:
        # The issuer is this process: it is asked without the network, whatever stands between it and its public address.
        way, redirect = httpx.ASGITransport(app=own), f"{address}/login/callback/{LOCAL}"
        relying[LOCAL] = make(local_provider(settings), redirect=redirect, transport=way)
    levels = {Kind.CITIZEN: _level(settings.assurance_citizen), Kind.STAFF: _level(settings.assurance_staff)}
    levels[Kind.OPERATOR] = levels[Kind.STAFF]
    routes: list[BaseRoute] = []
    if relying:
        tell = parts.tell
        routes += LoginDoor(
            relying,
            sessions,
            secure=secure,
            levels=levels,
            ids=ids,
            clock=clock,
            tell=tell,
            record=record,
            current=current,
            attempts=Attempts(parts.grants, ids.derive("login failures"), clock),
        ).routes()
        endings = Endings(sessions, record)
        routes += LogoutDoor(
            relying, sessions, address=address, ids=ids, clock=clock, tell=tell, endings=endings
        ).routes()
    if LOCAL in relying and settings.login is None:
        routes += broker_of(parts, address, own).routes()
    own.router.routes[:] = routes
    return Logins(sessions, relying, routes)


def sessions_of(parts: Parts) -> LoginSessions:
    """Return who is logged in."""
    settings = parts.settings
    limits = Limits(timedelta(minutes=settings.login_idle_minutes), timedelta(hours=settings.login_hours_max))
    secure = settings.address().startswith("https://")
    return LoginSessions(parts.sessions, ids=parts.ids, clock=parts.clock, limits=limits, secure=secure)


def local_provider(settings: Settings) -> Provider:
    """Return the local issuer as an identity provider, described as an operator would describe a broker."""
    staff = {
        each.professional: Employee(
            organisation=each.organisation,
            role=each.role,
            authorisation=each.authorisation,
            operator=each.kind is Kind.OPERATOR,
        )
        for each in at_the_login()
        if each.kind is not Kind.CITIZEN
    }
    return Provider(
        issuer=issuer_address(settings),
        profile="neb",
        client_id="sundbro",
        client_key=_client_key(settings),
        kinds=frozenset({"citizen", "staff"}),
        title_da="Testpersoner",
        title_en="Test persons",
        scope=" ".join(SCOPES),
        idp_values="mitid mitid_erhverv",
        staff=staff,
    )


def _client_key(settings: Settings) -> Path:
    path = settings.data / "identity" / "local-client.json"
    kept_key(path)
    return path


def broker_of(parts: Parts, address: str, own: Starlette) -> Broker:
    """Return the local issuer. Raises Misconfigured in production."""
    if parts.settings.environment == "production":
        raise Misconfigured("the local issuer logs anybody in as anybody: it does not exist in production")
    folder = parts.settings.data / "identity"
    client = Client("sundbro", f"{address}/login/callback/{LOCAL}", f"{address}/logout/done")
    public = ECKey.import_key(kept_key(folder / "local-client.json").as_dict(private=False))

    async def notify(token: str) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=own), base_url=address) as caller:
            await caller.post(f"/login/backchannel/{LOCAL}", data={"logout_token": token})

    key = kept_key(folder / "local-broker.json")
    once = parts.sessions.once
    return Broker(address, key, client, public, ids=parts.ids, clock=parts.clock, once=once, notify=notify)


def _level(name: str) -> Assurance:
    return Assurance[name.upper()]
