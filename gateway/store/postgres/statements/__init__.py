"""The store's SQL, as a DBA reads it: one file a subject, statements under `-- name: …` lines.

A statement runs with the store's schema as search_path. Parameters are described where the statement stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(subject: str) -> Mapping[str, str]:
    """Return the statements of one file by name. Raises ValueError when a name stands twice."""
    text = resources.files(__name__).joinpath(f"{subject}.sql").read_text("utf-8")
    parts = _NAME.split(text)[1:]
    found = dict(zip(parts[::2], (part.strip() for part in parts[1::2]), strict=True))
    if len(found) != len(parts) // 2:
        raise ValueError(f"a statement of {subject}.sql has a name that another one has")
    return found
