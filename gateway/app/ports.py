"""Addresses of this machine: is one free?"""

from __future__ import annotations

import socket


def free(address: str) -> bool:
    """Return whether `host:port` can be listened on now."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except (OSError, ValueError):
            return False
    return True


def free_or_other(address: str) -> str:
    """Return the address, or one with a free port where another program has that one."""
    if free(address):
        return address
    host = address.rpartition(":")[0]
    with socket.socket() as probe:
        probe.bind((host, 0))
        return f"{host}:{probe.getsockname()[1]}"
