"""Prometheus and Alertmanager as processes, with the files of `docker/` set up for this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.servers.broker import free_port
from tests.servers.deployment import wait

DOCKER = Path(__file__).parents[2] / "docker"
UNPACKED = Path(__file__).parent / "prometheus" / "usr" / "bin"


def tool(name: str) -> str:
    """Path of a program of Prometheus; `make -C tests/servers prometheus` brings what the system lacks."""
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}{UNPACKED}")
    assert found, f"no {name}: run `make -C tests/servers prometheus`"
    return found


def run(name: str, *arguments: str | Path, cwd: Path = DOCKER) -> subprocess.CompletedProcess[str]:
    """A tool to its end."""
    return subprocess.run([tool(name), *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60)


@contextmanager
def alertmanager(folder: Path) -> Iterator[int]:
    """Port of an Alertmanager with the shipped configuration."""
    port = free_port()
    options = [
        f"--config.file={DOCKER / 'alertmanager/alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _running([tool("prometheus-alertmanager"), *options], folder / "alertmanager.log", port):
        yield port


@contextmanager
def prometheus(folder: Path, stages: Mapping[str, int], manager: int, rules: str) -> Iterator[int]:
    """Port of a Prometheus with the shipped configuration, whose names stand on this machine: stage -> port."""
    config = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "alerts.yml").write_text(rules, encoding="utf-8")
    config["rule_files"] = [str(folder / "alerts.yml")]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]
    (job,) = config["scrape_configs"]
    assert set(job.pop("dns_sd_configs")[0]["names"]) == set(stages)
    job["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"__meta_dns_name": stage}} for stage, port in stages.items()
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    port = free_port()
    options = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with _running([tool("prometheus"), *options], folder / "prometheus.log", port):
        yield port


def ask(port: int, path: str, **query: str) -> Any:
    """JSON of an HTTP API."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?{urlencode(query)}", timeout=10) as answer:
        return json.load(answer)


def series(port: int, expression: str) -> list[dict[str, str]]:
    """Labels of what a PromQL expression gives now; fails when Prometheus does not understand it."""
    answer = ask(port, "/api/v1/query", query=expression)
    assert answer["status"] == "success", answer
    return [result["metric"] for result in answer["data"]["result"]]


@contextmanager
def _running(command: list[str], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)

    def ready() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    try:
        wait(f"{command[0]} is ready", ready)
        yield
    finally:
        process.terminate()
        process.wait(20)
