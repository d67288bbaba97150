"""What a gateway says in its first second: that an address is taken, and nothing at all when Ctrl-C comes that soon."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.life import HOST, ROOT, free_port

SECONDS_MAX = 60


def begun(folder: Path, **addresses: str) -> subprocess.Popen[str]:
    """Start `sundbro up` as its users do, with a data folder of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUNDBRO_")}
    own = {"SUNDBRO_DATA": str(folder / "data"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.command", "up"],
        env={**environment, **own, **addresses},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("door", ["http", "mllp", "mllp_tls"])
def test_an_address_that_another_program_has_is_told_before_anything_is_started(tmp_path: Path, door: str) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        taken = f"{HOST}:{other.getsockname()[1]}"
        addresses = {name: f"{HOST}:{free_port()}" for name in ("SUNDBRO_HTTP", "SUNDBRO_MLLP")}
        name = f"SUNDBRO_{door.upper()}"
        gateway = begun(tmp_path, **{**addresses, name: taken})
        said, _ = gateway.communicate(timeout=SECONDS_MAX)
    assert gateway.returncode == 2, said
    assert said.strip() == f"sundbro: {name}: cannot listen on {taken}: another program has it"
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see how far the start has come")
@pytest.mark.parametrize("library", ["_pydantic_core", "uvloop"])
def test_ctrl_c_while_the_command_is_still_being_read_ends_it_without_a_traceback(tmp_path: Path, library: str) -> None:
    gateway = begun(tmp_path, SUNDBRO_HTTP=f"{HOST}:{free_port()}", SUNDBRO_MLLP=f"{HOST}:{free_port()}")
    until = time.monotonic() + SECONDS_MAX
    while library not in Path(f"/proc/{gateway.pid}/maps").read_text():
        assert time.monotonic() < until
        time.sleep(0.002)
    gateway.send_signal(signal.SIGINT)
    said, _ = gateway.communicate(timeout=SECONDS_MAX)
    assert gateway.returncode in {-signal.SIGINT, 130}
    assert "Traceback" not in said
