"""Where the third-party messages stand: `../shared/corpus` beside the project, or wherever SUNDBRO_SHARED says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SUNDBRO_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))


def corpus_folder(name: str) -> Path:
    """Return the folder of one source; skip the test, saying so, where it is absent."""
    folder = SHARED / "corpus" / name
    if not folder.is_dir():
        pytest.skip(f"NOT RUN: the corpus {name} is not on this machine ({folder})")
    return folder
