"""One real Apache Kafka broker (KRaft) on this machine, for tests and by hand.

    python -m tests.servers.broker --port 9092 --dir /tmp/kafka      # until Ctrl-C

Needs Java 17 and the jars of `make -C tests/servers kafka`. The broker listens on the loopback only, keeps its data
in a directory of its own and creates no topic by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).parent / "kafka"
LIBS = HERE / "libs"
SMALL = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
BROKER = ["-Xms384m", "-Xmx384m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]


class BrokerFailed(RuntimeError):
    """The broker did not start; the text holds the tail of its log."""


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A broker over a folder and a port of its own: it may be stopped or killed, and started again with all it held.

    `more` are further properties, over those of every broker; `users`: name -> (SCRAM mechanism, password).
    """

    def __init__(
        self, folder: Path, port: int = 0, more: str = "", users: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        if not list(LIBS.glob("kafka_2.13-*.jar")):
            raise BrokerFailed(f"no Kafka jars in {LIBS}: run `make -C tests/servers kafka`")
        self._home, self._port = folder, port or free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._config = _configure(folder, self._port, more, users or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, the same after every start."""
        return f"127.0.0.1:{self._port}"

    def start(self, seconds: float = 90) -> None:
        """Returns when it answers; raises BrokerFailed after `seconds`."""
        log = self._home / "broker.log"
        with log.open("wb") as out:
            command = [*java(BROKER, self._home), "kafka.Kafka", str(self._config)]
            self._process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        _wait_ready(self._process, self._port, log, seconds)

    def stop(self, seconds: float = 30) -> None:
        """SIGTERM; kill -9 when it takes longer."""
        if self._process is not None:
            _stop(self._process, seconds)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def broker(
    port: int = 0,
    folder: Path | None = None,
    start_s: float = 90,
    stop_s: float = 30,
    more: str = "",
    users: Mapping[str, tuple[str, str]] | None = None,
) -> Iterator[str]:
    """Run a broker; yields its address "127.0.0.1:PORT". `port` 0: a free one. Without `folder` the data goes away."""
    home = folder or Path(tempfile.mkdtemp(prefix="quanyu-kafka-"))
    made = Broker(home, port, more, users)
    try:
        made.start(start_s)
        yield made.address
    finally:
        made.stop(stop_s)
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def java(options: list[str], home: Path) -> list[str]:
    """The command up to the class: `home` is where logs would go."""
    found = shutil.which("java")
    if found is None:
        raise BrokerFailed("no java on the PATH: Kafka 4 needs Java 17 (apt install openjdk-17-jre-headless)")
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    return [found, *options, logging, f"-Dkafka.logs.dir={home}", "-cp", f"{LIBS}/*"]


def _configure(home: Path, port: int, more: str, users: Mapping[str, tuple[str, str]]) -> Path:
    """Write server.properties; format the data directory the first time."""
    data, config = home / "data", home / "server.properties"
    text = (HERE / "server.properties.in").read_text(encoding="utf-8") + more
    for name, value in (("PORT", port), ("CPORT", free_port()), ("DATA", data)):
        text = text.replace(f"@{name}@", str(value))
    config.write_text(text, encoding="utf-8")
    if not (data / "meta.properties").exists():
        scram = [f"{how}=[name={name},password={password}]" for name, (how, password) in users.items()]
        added = [part for user in scram for part in ("--add-scram", user)]
        named = ("--cluster-id", "cXVhbnl1LXRlc3RzLWthZg", "--config", str(config))
        _storage(home, "format", *named, "--ignore-formatted", *added)
    return config


def _storage(home: Path, *arguments: str) -> None:
    done = subprocess.run(
        [*java(SMALL, home), "kafka.tools.StorageTool", *arguments], capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise BrokerFailed(f"StorageTool {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float) -> None:
    """Ready: the broker says so and the port answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if b"Kafka Server started" in log.read_bytes():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        time.sleep(0.1)
    state = f"ended with {process.returncode}" if process.poll() is not None else f"was not ready in {seconds:.0f} s"
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-40:])
    raise BrokerFailed(f"the Kafka broker {state}; the end of its log:\n{tail}")


def _stop(process: subprocess.Popen[bytes], seconds: float) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Run a broker by hand until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--dir", type=Path, help="where its data stays; without it, it goes away at the end")
    options = parser.parse_args()
    over = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: over.set())
    with broker(options.port, options.dir) as address:
        print(address, flush=True)
        over.wait()


if __name__ == "__main__":
    main()
