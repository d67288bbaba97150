"""Real Apache Kafka brokers (KRaft, combined broker and controller) that tests start, kill and start again.

async with Broker() as broker:          # one broker
    AIOKafkaProducer(bootstrap_servers=broker.address)
    broker.kill()                       # SIGKILL
    await broker.start()                # the same data, the same port

async with Cluster(3) as cluster:       # min.insync.replicas=2
    cluster.brokers[1].kill()
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil
from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.jars import FOLDER, NoBrokerError, broker_jars

HOST = "127.0.0.1"
START_SECONDS_MAX = 90
STOP_SECONDS_MAX = 15
JAVA = (
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    f"-Dlog4j2.configurationFile={FOLDER / 'log4j2.xml'}",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Broker:
    """One broker process and its data folder. `node` and `voters` matter only inside a Cluster."""

    def __init__(
        self,
        *,
        node: int = 1,
        voters: Mapping[int, int] | None = None,
        cluster_id: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.node = node
        self.folder = Path(tempfile.mkdtemp(prefix="sundbro-kafka-"))
        self.port = free_port()
        self.voters = dict(voters or {node: free_port()})
        self.cluster_id = cluster_id or new_cluster_id()
        self.settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.remove()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.remove()

    async def start(self) -> None:
        """Start, or start again on the same data and port; return when the broker answers."""
        self.launch()
        await self.answers()

    def launch(self) -> None:
        """Format the data folder the first time, then start the process; do not wait."""
        lib = broker_jars()
        properties = self.folder / "server.properties"
        if not properties.exists():
            properties.write_text(self._properties())
            self._format(lib, properties)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["java", *JAVA, "-cp", f"{lib}/*", "kafka.Kafka", str(properties)],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )

    async def answers(self) -> None:
        """Wait until the broker takes requests and is part of its cluster."""
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            if not self.running:
                raise NoBrokerError(f"the broker ended while starting: {self.last_words()}")
            with contextlib.suppress(Exception):
                async with asyncio.timeout(5):
                    if self.node in await _nodes(self.address):
                        return
            if time.monotonic() > until:
                raise NoBrokerError(f"the broker did not answer within {START_SECONDS_MAX} s: {self.last_words()}")
            await asyncio.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: the process stands still with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        while psutil.Process(self._process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Ask the broker to end; kill it when it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " | ".join(lines[-5:]) or "(no log)"

    def _format(self, lib: Path, properties: Path) -> None:
        command = ["java", *JAVA, "-cp", f"{lib}/*", "kafka.tools.StorageTool", "format"]
        done = subprocess.run(
            [*command, "-t", self.cluster_id, "-c", str(properties)], capture_output=True, check=False
        )
        if done.returncode:
            raise NoBrokerError(
                f"the broker's folder could not be formatted: {(done.stdout + done.stderr).decode()[-500:]}"
            )

    def _properties(self) -> str:
        brokers = str(len(self.voters))
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(self.node),
            "controller.quorum.voters": ",".join(f"{node}@{HOST}:{port}" for node, port in self.voters.items()),
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self.voters[self.node]}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": brokers,
            "transaction.state.log.replication.factor": brokers,
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "3000",  # a lost leader is replaced in seconds, not in nine
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "2",
            "log.cleaner.dedupe.buffer.size": str(8 << 20),
            **self.settings,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


class Cluster:
    """Several brokers that replicate, with min.insync.replicas one below their number."""

    def __init__(self, brokers: int = 3) -> None:
        voters = {node: free_port() for node in range(1, brokers + 1)}
        cluster_id = new_cluster_id()
        settings = {"min.insync.replicas": str(brokers - 1), "default.replication.factor": str(brokers)}
        self.brokers = [Broker(node=node, voters=voters, cluster_id=cluster_id, settings=settings) for node in voters]

    @property
    def address(self) -> str:
        return ",".join(broker.address for broker in self.brokers)

    async def __aenter__(self) -> Self:
        try:
            for broker in self.brokers:
                broker.launch()
            for broker in self.brokers:
                await broker.answers()
            await self._complete()
        except BaseException:
            for broker in self.brokers:
                broker.remove()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for broker in self.brokers:
            broker.remove()

    async def _complete(self) -> None:
        async with asyncio.timeout(START_SECONDS_MAX):
            while len(await _nodes(self.brokers[0].address)) < len(self.brokers):
                await asyncio.sleep(0.2)


async def _nodes(address: str) -> Sequence[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=address, request_timeout_ms=4000)
    try:
        await admin.start()
        return [broker["node_id"] for broker in (await admin.describe_cluster())["brokers"]]
    finally:
        await admin.close()


def new_cluster_id() -> str:
    """Return a random id as Kafka writes it: 22 characters of URL-safe base64 that do not begin with a hyphen."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def existing() -> str:
    """Return the address of the broker that the environment names, or an empty string."""
    return os.environ.get("SUNDBRO_TEST_KAFKA", "")
