"""The refusals of terminology, each with the issue code that R4 has for it (issue-type)."""

from __future__ import annotations

from typing import ClassVar

from gateway.errors import NotFound, Unprocessable


class UnknownCode(NotFound):
    """404: a code that the code system does not have ($lookup, $subsumes)."""


class NoContent(Unprocessable):
    """422: an answer needs a code system, value set or map that is not here, or of which only the name is."""

    issue: ClassVar[str] = "not-found"


class TooCostly(Unprocessable):
    """422: more than the limits allow; the text names the limit."""

    issue: ClassVar[str] = "too-costly"


class Unsupported(Unprocessable):
    """422: R4 has it and this server does not."""

    issue: ClassVar[str] = "not-supported"
