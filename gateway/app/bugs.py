"""How a bug is told: what kind and where, never with what data."""

from __future__ import annotations

import os
import traceback


def where(bug: BaseException) -> str:
    """Return an exception's class and the line it came from: its text may hold a person's data."""
    frames = traceback.extract_tb(bug.__traceback__)
    place = f" at {os.path.relpath(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"{type(bug).__name__}{place}"
