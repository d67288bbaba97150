"""Who is asking, as access needs to know it: what a verified token says and nothing more. Values only; pure.

`identity` makes an Actor of a token that it issued or verified. No person's number is in it: a citizen is the reference of
his own Patient resource, whose id is a keyed hash (`fhir.ids`), a professional a keyed hash of whatever his log-in calls him.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.access.scopes import Scopes


class Kind(enum.StrEnum):
    """What sort of caller an actor is."""

    SYSTEM = "system"  # a registered client that acts for nobody: a partner, a feed
    CITIZEN = "citizen"
    STAFF = "staff"
    OPERATOR = "operator"  # runs the gateway; health data are none of its business


class Purpose(enum.StrEnum):
    """Why health data are asked for. What law opens stands in docs/explanation/access.md."""

    OWN = "own"  # a citizen, or who acts for one, looks at what is held about him
    TREATMENT = "treatment"  # sundhedsloven § 42 a stk. 1: necessary for current treatment
    VAERDISPRING = "vaerdispring"  # § 42 a stk. 2: essential regard for the patient or others; with a reason, reviewed
    CONSENT = "consent"  # § 42 a stk. 3: the patient has agreed
    QUALITY = "quality"  # § 42 d: own learning within six months, quality work with permission
    SHARING = "sharing"  # a partner system, within its registration
    OPERATION = "operation"  # whoever runs the gateway


class Assurance(enum.IntEnum):
    """NSIS level of assurance of the log-in. A system's token has none: its client's registration stands for it."""

    NONE = 0
    LOW = 1
    SUBSTANTIAL = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever verified the token made it. '' is what does not apply."""

    client: str
    scopes: Scopes
    kind: Kind = Kind.SYSTEM
    purpose: Purpose = Purpose.SHARING
    subject: str = ""
    """The user, as this gateway calls him: stable, pairwise, no person's number."""
    person: str = ""
    """`Patient/<id>` of a citizen's own record."""
    on_behalf_of: str = ""
    """`Patient/<id>` of whom a citizen acts for: a child, or who gave him a fuldmagt (power of attorney)."""
    organisation: str = ""
    """SOR code of the organisation a professional works for now, or a partner belongs to."""
    role: str = ""
    """Professional group (DK Core profession code, 7170 doctor) or national role."""
    authorisation: str = ""
    """Health authorisation id (autregweb.sst.dk)."""
    assurance: Assurance = Assurance.NONE
    patient: str = ""
    """`Patient/<id>` of the launch context (SMART): what `patient/` scopes are about."""
    reason: str = ""
    """Why, in the professional's own words: of a værdispring."""
    session: str = ""
    """The log-in it comes from; ends with it."""
    records: tuple[str, ...] = ()
    """Further records (`Patient/<id>`) of the same person, as they stand linked at this request: no token says so."""

    def __hash__(self) -> int:
        """Hash what tells actors apart: what is remembered by actor is looked up several times a request."""
        return hash((self.client, self.scopes.text, self.subject, self.patient, self.session))

    @property
    def feeds(self) -> frozenset[str]:
        """The feeds it may post to."""
        return self.scopes.feeds
