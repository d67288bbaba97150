"""The authorization server, put together from its parts. The composition root gives it a database, secrets and people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.identity.attempts import Attempts
from gateway.identity.oauth.acceptance import Acceptance
from gateway.identity.oauth.authentication import Authentication
from gateway.identity.oauth.authorizing import Authorizing
from gateway.identity.oauth.certificates import Certificates
from gateway.identity.oauth.endpoint import Endpoint
from gateway.identity.oauth.exchanging import Exchange
from gateway.identity.oauth.granting import Granting
from gateway.identity.oauth.issuing import Issuing, Minted
from gateway.identity.oauth.keys import Keyring
from gateway.identity.oauth.launching import Launching
from gateway.identity.oauth.outbound import KeySets, Outbound
from gateway.identity.oauth.people import Alone, People
from gateway.identity.oauth.proofs import Proofs
from gateway.identity.oauth.protocol import Protocol
from gateway.identity.oauth.registration import Registry
from gateway.identity.on_record import Record
from gateway.identity.sealed import Sealer
from gateway.identity.session import Sessions
from gateway.identity.tokens import Verifier
from gateway.store.grants import Grants

FHIR = "/fhir"


@dataclass(frozen=True, slots=True)
class OAuth:
    """What a process needs of the authorization server: whom requests speak for, and its routes."""

    acceptance: Acceptance
    endpoint: Endpoint
    registry: Registry


def oauth(
    *,
    address: str,
    registry: Registry,
    grants: Grants,
    sessions: Sessions,
    then: Sealer,
    derive: Callable[[str], bytes],
    clock: Clock,
    record: Record,
    people: People | None = None,
    outbound: Outbound | None = None,
    certificates: Certificates | None = None,
    local: Verifier | None = None,
) -> OAuth:
    """Return the authorization server of a gateway that callers reach at `address`.

    `derive` gives a secret (32 bytes) for a purpose, the same in all processes; `then` seals where a log-in goes on to;
    `record` has on record what it gives and refuses; `local` verifies the local issuer's tokens, where there is one.
    """
    audience, people = address + FHIR, people or Alone()
    certificates = certificates or Certificates((), "")
    keyring = Keyring(grants, derive("oauth signing keys"), clock)
    key_sets, attempts = KeySets(outbound or Outbound(())), Attempts(grants, derive("oauth failures"), clock)
    proofs = Proofs(grants, derive("oauth dpop nonces"), clock)
    protocol = Protocol(address, registry.get)
    acceptance = Acceptance(
        address=address,
        audience=audience,
        keyring=keyring,
        grants=grants,
        sessions=sessions,
        proofs=proofs,
        certificates=certificates,
        clock=clock,
        local=local,
    )
    launching = Launching(registry, grants, audience, clock)
    authorizing = Authorizing(
        protocol=protocol,
        registry=registry,
        grants=grants,
        sessions=sessions,
        launching=launching,
        granting=Granting(
            protocol=protocol, grants=grants, people=people, launching=launching, clock=clock, record=record
        ),
        then=then,
        secret=derive("oauth pages"),
        address=address,
        audience=audience,
        clock=clock,
        record=record,
    )
    issuing = Issuing(
        protocol=protocol,
        minted=Minted(address, audience, keyring, clock),
        grants=grants,
        sessions=sessions,
        exchange=Exchange(acceptance, people.may_act, audience),
        proofs=proofs,
        certificates=certificates,
        clock=clock,
        record=record,
    )
    endpoint = Endpoint(
        address=address,
        authentication=Authentication(registry, grants, key_sets, clock, attempts),
        authorizing=authorizing,
        issuing=issuing,
        launching=launching,
        acceptance=acceptance,
        keyring=keyring,
        grants=grants,
        clock=clock,
        record=record,
    )
    return OAuth(acceptance, endpoint, registry)
