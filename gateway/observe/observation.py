"""What every event of the house is, and who is told of one. The events themselves: `events`, `guarding`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Observation:
    """Something that happened. The class name in snake_case is the event name in logs."""

    level: ClassVar[str] = ""


Tell = Callable[[Observation], None]


def silent(_: Observation) -> None:
    """Listen to nothing: for tools that report by themselves."""
