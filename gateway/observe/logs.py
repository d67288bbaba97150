"""Structured logs: one line an observation, its fields and nothing else. Listens; nobody calls it with text."""

from __future__ import annotations

import dataclasses
import logging
import re
import sys
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from gateway.observe import events

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def snake(name: str) -> str:
    """Return `MessageReceived` as `message_received`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Logs:
    """Writes observations that have a level of at least `level` to `write` (default: standard error)."""

    def __init__(
        self, *, level: str = "info", style: str = "json", process: str = "gateway", write: Any = None
    ) -> None:
        renderer: Any = structlog.processors.JSONRenderer(
            serializer=lambda value, **_: orjson.dumps(value, default=str).decode()
        )
        if style == "console":
            renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        self._level = LEVELS[level]
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(write or sys.stderr),
            processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), renderer],
            process=process,
        )

    def __call__(self, event: events.Observation) -> None:
        """Write one observation."""
        if event.level and LEVELS[event.level] >= self._level:
            fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
            self._log.info(
                snake(type(event).__name__), level=event.level, **{k: v for k, v in fields.items() if v not in ("", ())}
            )

    def library(self, name: str, level: str, text: str) -> None:
        """Write what a library logged."""
        if LEVELS.get(level, logging.ERROR) >= self._level:
            self._log.info("library_logged", level=level, library=name, text=text)


class _Library(logging.Handler):
    """Passes on what libraries log, as one kind of line: its logger's name and its text's template, without the values,
    because nobody knows what they hold.
    """

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._logs.library(record.name, record.levelname.lower(), str(record.msg))


def hear_libraries(logs: Logs) -> None:
    """Make `logging` of libraries speak through `logs`. aiokafka tells of every retry; an outage is announced by us."""
    root = logging.getLogger()
    root.handlers[:] = [_Library(logs)]
    root.setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def fan_out(*listeners: events.Tell) -> Callable[[events.Observation], None]:
    """Return a Tell that passes every observation to all listeners, in order."""

    def tell(event: events.Observation) -> None:
        for listener in listeners:
            listener(event)

    return tell
