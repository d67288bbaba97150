"""The local issuer: makes access tokens for development, from a key in the data folder. Not an authorization server.

It has no accounts and no consent: whoever can read the data folder can be anybody. So it does not exist where the settings
say production. Its tokens are verified as any other issuer's would be (`tokens`). Who its people are stands in `people`;
`broker` is where they log in.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.access import Actor
from gateway.access import scopes as access_scopes
from gateway.clock import Clock, SystemClock
from gateway.errors import Incorrect, Misconfigured
from gateway.fhir.ids import Ids
from gateway.identity.claims import claims_of
from gateway.identity.people import PEOPLE, Person
from gateway.identity.tokens import ALGORITHM, LIFETIME_MAX, TYPE, Verifier
from gateway.settings import Settings

LIFETIME: Final = dt.timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Known:
    """A named actor of the local issuer."""

    text: str
    scopes: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()


ACTORS: Final[Mapping[str, Known]] = MappingProxyType(
    {
        "all": Known(
            "reads and writes everything, posts to the three feeds",
            ("system/*.cruds",),
            ("hospital", "municipal", "home"),
        ),
        "reader": Known("reads everything, posts nothing", ("system/*.rs",)),
        "hospital": Known("a hospital's integration engine: posts to its feed, reads nothing", (), ("hospital",)),
        "municipality": Known("a municipality's care system: posts to its feed", (), ("municipal",)),
        "device-vendor": Known("a home-monitoring vendor: posts to its feed", (), ("home",)),
    }
)
"""Clients that `sundbro token --as NAME` can be, beside the people of `people.PEOPLE`."""


def listed() -> dict[str, str]:
    """Return everybody `sundbro token --as` knows, and what he is."""
    return {name: known.text for name, known in ACTORS.items()} | {name: one.en for name, one in PEOPLE.items()}


class LocalIssuer:
    """Issues and verifies tokens with one ES256 key pair."""

    def __init__(
        self, key: ECKey, *, issuer: str, audience: str, clock: Clock, ids: Ids | None = None, broker: str = ""
    ) -> None:
        self._key = key
        self._kid = key.thumbprint()
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._ids = ids
        self._broker = broker or issuer

    @classmethod
    def open(cls, settings: Settings, clock: Clock | None = None, ids: Ids | None = None) -> LocalIssuer:
        """Return the issuer of a data folder, its key made at the first call. People have tokens only with the gateway's `ids`.

        Raises Misconfigured in production, or when the key file cannot be read, or can be read by others.
        """
        if settings.environment == "production":
            raise Misconfigured("the local issuer gives a token to anybody: it does not exist in production")
        # Without a public address the names do not depend on where it listens: the key says whose token it is.
        address = settings.public_url.rstrip("/") or "urn:sundbro"
        key = kept_key(settings.data / "identity" / "local-issuer.json")
        audience = f"{address}/fhir"
        issuer, broker = f"{address}/local-issuer", issuer_address(settings)
        return cls(key, issuer=issuer, audience=audience, clock=clock or SystemClock(), ids=ids, broker=broker)

    def issue(
        self,
        name: str,
        scopes: Iterable[str] = (),
        feeds: Iterable[str] = (),
        lifetime: dt.timedelta = LIFETIME,
        *,
        who: Actor | None = None,
    ) -> str:
        """Return an access token (RFC 9068) for client `name` with these scopes, and `ingest/<feed>` for each feed.

        `who` is the user it speaks for (his client and scopes are not looked at), None for the client itself.

        Raises Incorrect for a scope that is not understood or a lifetime that is not within 24 hours.
        """
        if not dt.timedelta() < lifetime <= LIFETIME_MAX:
            raise Incorrect(f"a token lives at most {LIFETIME_MAX}", at="lifetime")
        try:
            granted = access_scopes.parse([*scopes, *(f"ingest/{feed}" for feed in feeds)])
        except access_scopes.ScopeError as error:
            raise Incorrect(f"{error}: write system/Observation.rs, system/*.rs, ingest/home …", at="scope") from None
        now = int(self._clock.now().timestamp())
        actor = dataclasses.replace(who, client=name, scopes=granted) if who else Actor(name, granted)
        claims = {
            **claims_of(actor),
            "iss": self._issuer,
            "aud": self._audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(lifetime.total_seconds()),
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode({"alg": ALGORITHM, "typ": TYPE, "kid": self._kid}, claims, self._key, algorithms=[ALGORITHM])

    def token_of(self, name: str, scopes: Iterable[str] = ()) -> str:
        """Return a token for somebody of `listed`, or with `scopes` instead of his own. Raises Incorrect."""
        asked = tuple(scopes)
        if (person := PEOPLE.get(name)) is not None:
            return self._token_of_person(person, asked)
        actor = ACTORS.get(name)
        if actor is None:
            raise Incorrect(f"nobody is called so here; there are {', '.join(listed())}", at="as")
        return self.issue(name, asked) if asked else self.issue(name, actor.scopes, actor.feeds)

    def _token_of_person(self, person: Person, asked: tuple[str, ...]) -> str:
        if self._ids is None:
            raise Incorrect("a person's token needs the gateway's ids", at="as")
        return self.issue(person.name, asked or person.scopes, who=person.actor(self._ids, self._broker))

    def verifier(self) -> Verifier:
        """Return what verifies this issuer's tokens: the public half of its key."""
        public = ECKey.import_key(self._key.as_dict(private=False))
        return Verifier(issuer=self._issuer, audience=self._audience, keys={self._kid: public}, clock=self._clock)


def issuer_address(settings: Settings) -> str:
    """Return where the people of the local issuer log in: an address, whether callers are told another one or not."""
    return f"{settings.address()}/local-issuer"


def kept_key(path: Path) -> ECKey:
    """Return the key of a file, which is made when missing: two processes that start together agree on one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            made = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(ECKey.generate_key("P-256", private=True).as_dict(private=True), file)
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(made)
            except FileExistsError:
                pass
            finally:
                made.unlink()
        if path.stat().st_mode & 0o077:
            raise Misconfigured(f"the key {path} can be read by others than its owner: chmod 600")
        return ECKey.import_key(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"the key {path} cannot be used: {type(error).__name__}") from error
