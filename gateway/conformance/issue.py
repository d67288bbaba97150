"""One finding of a check, as an OperationOutcome will tell it. No value of the resource is ever in its words."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How bad (R4 issue-severity); `fatal` is not among them: a resource that cannot be read comes no further than the door."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Issue:
    """`code` is an R4 issue-type, `at` the FHIRPath of the element, `key` the invariant's key or the rule's name.

    `source` is the canonical of the profile that asks for it; empty for R4 itself.
    """

    severity: Severity
    code: str
    at: str
    text: str
    key: str
    source: str = ""
