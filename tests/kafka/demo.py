"""`make demo-kafka`: the demo on a real Kafka broker and a PostgreSQL of its own, named in the settings as in production.

python -m tests.kafka.demo [options of sundbro demo]
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.kafka.broker import Broker
from tests.postgres.server import Server

ROOT = Path(__file__).resolve().parents[2]


async def main() -> int:
    print("starting Apache Kafka (the first time its jars are resolved from Maven) and PostgreSQL …", flush=True)
    server = Server()
    try:
        url = await asyncio.to_thread(server.start)
        async with Broker() as broker:
            print(f"Kafka at {broker.address}", flush=True)
            environment = {**os.environ, "SUNDBRO_KAFKA": broker.address, "SUNDBRO_DATABASE_URL": url}
            demo = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.cli", "demo", *sys.argv[1:], env=environment, cwd=ROOT
            )
            try:
                return await demo.wait()
            except asyncio.CancelledError:
                return await demo.wait()  # Ctrl-C reached it as well: let it end in order
    finally:
        await asyncio.to_thread(server.remove)


if __name__ == "__main__":
    try:
        raise SystemExit(asyncio.run(main()))
    except (KeyboardInterrupt, subprocess.SubprocessError):
        raise SystemExit(130) from None
