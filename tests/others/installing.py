"""Programs of others, by pip into an environment of their own: what they need is nobody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def environment(folder: Path, requirement: str) -> Path:
    """Return the folder with the commands of a requirement, installed below `folder`; skip, and say so, where it cannot be."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement]
    installed = subprocess.run(install, capture_output=True, text=True, timeout=240, check=False)
    if installed.returncode:
        pytest.skip(f"NOT RUN: {requirement} cannot be installed here: {installed.stderr[-200:]}")
    return folder / "bin"
