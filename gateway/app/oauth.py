"""The authorization server of a process: settings and parts → `identity.oauth`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.app.auditing import of_identity
from gateway.app.parts import Parts
from gateway.app.people import StoredPeople, policy_of
from gateway.audit.ledger import Ledger
from gateway.identity.local import LocalIssuer
from gateway.identity.oauth import server
from gateway.identity.oauth.certificates import Certificates
from gateway.identity.oauth.outbound import Outbound, networks
from gateway.identity.oauth.registration import Registry
from gateway.identity.sealed import way_back
from gateway.identity.session import Session, Sessions
from gateway.observe import events
from gateway.settings import Settings

SAMPLES = Path(server.__file__).parent / "samples"


class NobodyLoggedIn:
    """Nobody has logged in: what holds where there is no log-in page. Systems need none."""

    async def of_cookies(self, cookies: Mapping[str, str]) -> Session | None:
        """Return nobody."""
        del cookies
        return None

    async def alive(self, session: str) -> bool:
        """Say no."""
        del session
        return False


def clients_of(settings: Settings) -> Path | None:
    """Return the folder of client registrations: the samples where none is named, but never in production."""
    return settings.clients or (SAMPLES if settings.environment == "development" else None)


def oauth_of(parts: Parts, sessions: Sessions, audit: Ledger) -> server.OAuth:
    """Return the authorization server of these parts; `sessions` knows who has logged in, `audit` has on record what it does.

    Raises Misconfigured for a registration that cannot be used.
    """
    settings, clock = parts.settings, parts.clock
    proxies = networks(settings.trusted_proxies)
    local = LocalIssuer.open(settings, clock).verifier() if settings.environment == "development" else None
    return server.oauth(
        address=settings.address(),
        registry=Registry(clients_of(settings), lambda why: parts.tell(events.ClientsRefused(why))),
        grants=parts.grants,
        sessions=sessions,
        then=way_back(parts.ids, clock),
        derive=parts.ids.derive,
        clock=clock,
        record=of_identity(audit),
        people=StoredPeople(parts.store, audit, parts.ids, clock, policy_of(settings)),
        outbound=Outbound(settings.jwks_hosts.split(","), networks(settings.jwks_networks)),
        certificates=Certificates(proxies, settings.certificate_header if proxies else ""),
        local=local,
    )
