"""What the bench programs with servers share: a deployment that is gone at the end, and its processes (Linux).

A real Kafka broker and ClickHouse's engine behind HTTP are started in a temporary directory (the broker's jars come
from `make -C tests/servers kafka`), with topics, tables and the grids of a simulated city, built as an index.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from streams import settings as configuration
from streams.settings import Settings
from streams.simulator.city import City as Simulated
from streams.simulator.city import make_city
from streams.simulator.layers import write_layers
from tests.servers import chdb_process
from tests.servers.broker import broker
from tests.servers.deployment import City, Worker

T = TypeVar("T")

START_MS = 1_772_380_800_000  # 2026-03-02 in the city's zone
SOURCES = ("110", "12345", "grid", "sensor")
#: over what the tests' deployments are told: the defaults of the product
PLAIN = {
    "QUANYU__LIVE__SNAPSHOT_S": str(configuration.Live().snapshot_s),
    "QUANYU__LIVE__AHEAD_SIGNALS": str(configuration.Live().ahead_signals),
    **{f"QUANYU__SOURCES__{source.upper()}__PARTITIONS": "4" for source in SOURCES},
}
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Deployment(Struct):
    """A city of simulated grids with its servers, and the configuration its workers have."""

    city: City
    settings: Settings
    made: Simulated
    #: all that share the workers
    cities: list[City]

    def servers(self) -> dict[str, int]:
        """Name -> process id of the servers."""
        names = {"kafka.Kafka": "broker", "tests.servers.chdb_http": "database"}
        found: dict[str, int] = {}
        for pid in _children(os.getpid()):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            found |= {name: pid for word, name in names.items() if word in words}
        return found


@contextmanager
def deployed(name: str, cells: int, told: Mapping[str, str] | None = None, cities: int = 1) -> Iterator[Deployment]:
    """Servers, topics and tables, for as long as the block runs. `told`: settings of the workers, as environment."""
    with tempfile.TemporaryDirectory(prefix="quanyu-bench-") as path, broker() as servers:
        folder = Path(path)
        made = make_city(1, cells)
        write_layers(made, folder)
        with chdb_process.serve(folder / "clickhouse") as url:
            index = {"QUANYU__GRIDS__FILE": str(folder / "city.qgrid")}
            plain = {**PLAIN, **index, **(told or {})}
            made_cities = [City(f"{name}{n or ''}", servers, url, folder, dict(plain)) for n in range(cities)]
            for n, city in enumerate(made_cities):
                city.province, city.partition, city.partitions = name, n, cities
            city = made_cities[0]
            city.ok("grids", "build", folder / "grids.toml", "-o", folder / "city.qgrid")
            try:
                for each in made_cities:
                    each.prepare()
                yield Deployment(city, configuration.load(environ=city.environment), made, made_cities)
            finally:
                city.end()


def cpu_s(pid: int) -> float:
    """Processor time of a running process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def queued_s(pid: int) -> float:
    """How long the threads of a running process have been ready to work while no core was free, seconds."""
    waits = [(task / "schedstat").read_text().split()[1] for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(map(int, waits)) / 1e9


def rss_mb(pid: int) -> float:
    """Memory of a running process that lies in RAM, MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB


def metrics_of(worker: Worker) -> dict[str, float]:
    """What the worker's endpoint says, by name and labels but for the city's."""
    lines = re.findall(r"^([^#\s]+) (\S+)$", worker.get("/metrics")[1], re.M)
    return {re.sub(r'city="[^"]*",?', "", name).replace("{}", ""): float(value) for name, value in lines}


def evenly(items: Iterable[T], rate: float, seconds: float) -> Iterator[T]:
    """The items at so many a second, for so long; what is late is caught up."""
    began = time.monotonic()
    for number, item in enumerate(items):
        due = number / rate
        if due >= seconds:
            return
        ahead = due - (time.monotonic() - began)
        if ahead > 0.002:
            time.sleep(ahead)
        yield item


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
