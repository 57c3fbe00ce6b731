"""Start and stop ClickHouse's engine behind HTTP (`tests.servers.chdb_http`) as a process of its own."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def start(path: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """A server process that answers; its output goes to a file beside its data."""
    log = path.with_suffix(".log").open("ab")
    command = [sys.executable, "-m", "tests.servers.chdb_http", "--path", str(path), "--port", str(port), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    log.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with _opened(port, "--cert" in options):
                return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    stop(process)
    raise RuntimeError(f"chDB's HTTP front did not start:\n{path.with_suffix('.log').read_text()[-2000:]}")


def _opened(port: int, tls: bool) -> Any:
    """An answer of the server; whether its certificate can be trusted is not asked here."""
    context = ssl._create_unverified_context() if tls else None
    scheme = "https" if tls else "http"
    return urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/ping", timeout=5, context=context)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process, by its id."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(path: Path, *options: str) -> Iterator[str]:
    """URL of a server over `path`, for as long as the block runs."""
    port = free_port()
    process = start(path, port, *options)
    try:
        yield f"{'https' if '--cert' in options else 'http'}://default@127.0.0.1:{port}"
    finally:
        stop(process)
