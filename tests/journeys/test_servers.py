"""Several server processes at one address are one server, and the death of one is nobody's loss."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.gateway import ROOT, Gateway

SERVERS = 3
pytestmark = pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system deals no connections out")


def serving(gateway: Gateway) -> list[psutil.Process]:
    return [process for process in gateway.family() if "gateway.app.servers" in process.cmdline()]


def pids_that_answer(gateway: Gateway, asks: int = 60) -> set[int]:
    """Ask on many new connections and say which processes took one."""
    host, _, port = gateway.http.partition(":")
    family = {process.pid for process in gateway.family()}
    found: set[int] = set()
    held = []
    for _ in range(asks):
        client = socket.create_connection((host, int(port)), timeout=10)
        client.sendall(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n")
        assert client.recv(1 << 12).startswith(b"HTTP/1.1 200")
        held.append(client)
    for pid in family:
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.status == "ESTABLISHED" and connection.laddr.port == int(port):
                found.add(pid)
    for client in held:
        client.close()
    return found


def test_every_process_answers_and_a_killed_one_is_started_again(tmp_path: Path) -> None:
    with Gateway(tmp_path, servers=SERVERS, translators=1) as gateway:
        until = time.monotonic() + 60
        while len(serving(gateway)) < SERVERS - 1 or len(pids_that_answer(gateway)) < SERVERS:
            assert time.monotonic() < until, "not every server process answers"
            time.sleep(0.2)
        victim = serving(gateway)[0].pid
        os.kill(victim, signal.SIGKILL)
        time.sleep(0.2)
        for _ in range(40):  # new connections go to those that are there
            assert httpx.get(f"http://{gateway.http}/livez", timeout=5).status_code == 200
        while len(pids_that_answer(gateway)) < SERVERS:
            assert time.monotonic() < until + 60, "the killed server process did not come back"
            time.sleep(0.2)
        assert victim not in {process.pid for process in serving(gateway)}


def test_another_gateway_at_the_same_address_is_told(tmp_path: Path) -> None:
    """SO_REUSEPORT would let it in silently: a second gateway would take half of the first one's callers."""
    with Gateway(tmp_path, servers=2, translators=1) as gateway:
        other = {**gateway.environment, "SUNDBRO_DATA": str(tmp_path / "other"), "SUNDBRO_MLLP": ""}
        ended = subprocess.run(
            [sys.executable, "-m", "gateway.cli", "up"],
            env=other,
            cwd=ROOT,
            capture_output=True,
            timeout=90,
            check=False,
        )
        assert ended.returncode != 0
        assert b"cannot listen on" in ended.stderr
