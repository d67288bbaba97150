"""What /login is asked, and what of it a log-in under way must remember. Values; no browser, no provider."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlencode

from gateway.access import Assurance, Kind
from gateway.clock import UTC
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.profiles import Wish
from gateway.identity.login.relying import Secrets
from gateway.identity.login.words import Language
from gateway.identity.sealed import Sealer
from gateway.identity.session import Session

THEN_CHARACTERS_MAX: Final = 2000
"""It travels in a cookie of at most 4 KiB."""
THEN_LIFETIME: Final = dt.timedelta(minutes=30)
_LEVELS: Final = {level.name.lower(): level for level in Assurance}
_AGE_DIGITS_MAX: Final = 9


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of /login. `then` is opened: a path of this gateway, '' for none."""

    language: Language
    then: str = ""
    assurance: Assurance = Assurance.NONE
    max_age: int | None = None
    force: bool = False
    hint: str = ""
    users: str = ""
    """Kinds of user, by commas, that whoever asked can do with; '' for any."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]], language: Language, sealer: Sealer) -> Self:
        """Read the parameters. Raises LoginFailed (link, wrong)."""
        listed = list(pairs)
        given = dict(listed)
        if len(given) != len(listed):
            raise LoginFailed(Fault.WRONG, "a parameter stands twice")
        then = sealer.open(given["then"]) if given.get("then") else ""
        if not (isinstance(then, str) and (not then or local(then))):
            raise LoginFailed(Fault.LINK, "then")
        level, age = given.get("assurance", ""), given.get("max_age", "")
        if level and level not in _LEVELS:
            raise LoginFailed(Fault.WRONG, "assurance is none, low, substantial or high")
        if age and not (age.isascii() and age.isdigit() and len(age) <= _AGE_DIGITS_MAX):
            raise LoginFailed(Fault.WRONG, "max_age is whole seconds")
        if given.get("prompt", "") not in {"", "login"}:
            raise LoginFailed(Fault.WRONG, "prompt is login")
        users = given.get("users", "")
        if set(users.split(",")) - {"", *Kind}:
            raise LoginFailed(Fault.WRONG, "users are citizen, staff, operator")
        return cls(
            language,
            then,
            _LEVELS.get(level, Assurance.NONE),
            int(age) if age else None,
            "prompt" in given,
            given.get("hint", ""),
            users,
        )

    def met_by(self, session: Session, now: dt.datetime) -> bool:
        """Say whether a running session is enough for what is asked."""
        fresh = self.max_age is None or now - session.login.at <= dt.timedelta(seconds=self.max_age)
        return not self.force and fresh and session.login.assurance >= self.assurance and self.wants(session.login.kind)

    def wants(self, kind: Kind) -> bool:
        """Say whether this kind of user is one that whoever asked can do with."""
        return not self.users or kind.value in self.users.split(",")

    def link(self, sealer: Sealer, **changed: Any) -> str:
        """Return the address of /login that asks this, or this with something changed."""
        own = dataclasses.replace(self, **changed)
        asked = {
            "then": sealer.seal(own.then, THEN_LIFETIME) if own.then else "",
            "assurance": own.assurance.name.lower() if own.assurance else "",
            "max_age": "" if own.max_age is None else str(own.max_age),
            "prompt": "login" if own.force else "",
            "hint": own.hint,
            "users": own.users,
            "lang": own.language,
        }
        return "/login?" + urlencode({name: value for name, value in asked.items() if value})


@dataclass(frozen=True, slots=True)
class Flow:
    """A log-in under way in one browser: what its answer must match."""

    provider: str
    own: Secrets
    asked: Asked
    wish: Wish
    began: dt.datetime

    def as_json(self) -> dict[str, Any]:
        """Return it for sealing."""
        asked = dataclasses.asdict(self.asked) | {"assurance": int(self.asked.assurance)}
        wish = dataclasses.asdict(self.wish) | {"assurance": int(self.wish.assurance), "kind": self.wish.kind.value}
        own = [self.own.state, self.own.nonce, self.own.verifier]
        return {
            "provider": self.provider, "own": own, "asked": asked, "wish": wish, "began": int(self.began.timestamp()),
        }  # fmt: skip

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """Return what `as_json` made."""
        asked = said["asked"] | {"assurance": Assurance(said["asked"]["assurance"])}
        wish = said["wish"] | {"assurance": Assurance(said["wish"]["assurance"]), "kind": Kind(said["wish"]["kind"])}
        began = dt.datetime.fromtimestamp(said["began"], UTC)
        return cls(said["provider"], Secrets(*said["own"]), Asked(**asked), Wish(**wish), began)


def local(path: str) -> bool:
    """Say whether a path leads to this gateway and nowhere else, whatever a browser makes of it."""
    return (
        path.startswith("/")
        and not path.startswith("//")
        and len(path) <= THEN_CHARACTERS_MAX
        and path.isascii()
        and path.isprintable()
        and not set(path) & set('\\ "<>')
    )
