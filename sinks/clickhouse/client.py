"""A connection to ClickHouse: a server over HTTP, or the same engine embedded (chDB). No other file speaks to it.

Statements name their tables in full, so one client serves any number of databases; queries take the name of the
database as the bound parameter `{database:Identifier}`. One call at a time; clients are cheap, make one a thread.
"""

from __future__ import annotations

import fcntl
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client as Driver
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas import UsageError
from sinks.clickhouse.errors import taken, translate
from sinks.clickhouse.layout import SETTINGS as CLUSTER_SETTINGS
from sinks.clickhouse.layout import Layout

CHDB = "chdb:"
#: a batch of a replay may span more months than a server allows by default
INSERT_SETTINGS = {"max_partitions_per_insert_block": 0}


class Config(Protocol):
    """Where ClickHouse is and how it is written; `streams.settings.ClickHouse` is one."""

    @property
    def url(self) -> str:
        """`chdb:DIR` or `http[s]://user@host:port`."""

    @property
    def password(self) -> str:
        """Of the user in the URL."""

    @property
    def ca_file(self) -> str:
        """PEM of who signs the server's certificate; empty: who the system trusts."""

    @property
    def database(self) -> str:
        """The live one, and the base of runs."""

    @property
    def batch_rows(self) -> int:
        """Rows that fill a batch."""

    @property
    def batch_s(self) -> float:
        """Seconds after which a batch is stored though not full."""

    @property
    def retention_days(self) -> int:
        """Days that rows are kept; 0: for ever."""

    @property
    def cluster(self) -> str:
        """Cluster whose nodes have the tables; empty: one node."""

    @property
    def shard(self) -> str:
        """Cluster that is the one shard with the rows, where `cluster` has several; else empty."""

    @property
    def rejected_retention_days(self) -> int:
        """Days that dead letters are kept, from when they were stored; 0: for ever."""


class Client:
    """Statements, queries and inserts, with errors that say who must act (see `errors`)."""

    def __init__(self, driver: Driver, where: str, layout: Layout = Layout()) -> None:  # noqa: B008 - frozen
        self._driver = driver
        self.where = where
        self.layout = layout

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that gives nothing back."""
        with _translated(self.where):
            self._driver.command(sql, parameters=dict(parameters or {}))

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query. Times come back as the query makes them: let it give epoch milliseconds."""
        with _translated(self.where):
            return [tuple(row) for row in self._driver.query(sql, parameters=dict(parameters or {})).result_rows]

    def dicts(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a query by column name."""
        with _translated(self.where):
            return list(self._driver.query(sql, parameters=dict(parameters or {})).named_results())

    def raw(self, sql: str, format: str, parameters: Mapping[str, Any] | None = None) -> bytes:
        """Bytes of a query's result in a ClickHouse format (JSON, Native, Arrow ...): for those who pass them on."""
        with _translated(self.where):
            return self._driver.raw_query(sql, parameters=dict(parameters or {}), fmt=format)

    def insert(self, database: str, table: str, batch: Any, settings: Mapping[str, Any] | None = None) -> None:
        """Insert an Arrow table; columns that it leaves out take their defaults."""
        with _translated(self.where):
            self._driver.insert_arrow(table, batch, database=database, settings={**INSERT_SETTINGS, **(settings or {})})

    def close(self) -> None:
        """Let go of the server, or of the directory (the last client of a process does)."""
        self._driver.close()


def connect(config: Config) -> Client:
    """Connect to `config.url`. Raises UsageError for a bad URL, user or directory, Unreachable if nothing answers."""
    if config.url.startswith(CHDB):
        if config.cluster:
            raise UsageError(
                f"clickhouse.cluster = {config.cluster!r}: the embedded database has no clusters; name a server in "
                f"clickhouse.url, or leave the cluster empty",
                f"clickhouse.cluster = {config.cluster!r}：内嵌数据库没有集群；请在 clickhouse.url 中给出服务器，"
                f"或把集群留空",
            )
        return _embedded(config.url.removeprefix(CHDB))
    url = urlsplit(config.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise UsageError(
            f"clickhouse.url: {_shown(config.url)!r} is neither chdb:DIR nor http[s]://user@host:port",
            f"clickhouse.url：{_shown(config.url)!r} 既不是 chdb:目录，也不是 http[s]://用户@主机:端口",
        )
    secure = url.scheme == "https"
    port = url.port or (8443 if secure else 8123)
    where = f"{url.scheme}://{url.hostname}:{port}"
    _check_ca(config.ca_file, secure)
    with _translated(where):
        driver = clickhouse_connect.get_client(
            host=url.hostname,
            port=port,
            interface=url.scheme,
            username=unquote(url.username or "default"),
            password=config.password or unquote(url.password or ""),
            connect_timeout=5,
            send_receive_timeout=120,
            autogenerate_session_id=False,
            # in the body, not in the address, which servers and proxies keep short
            form_encode_query_params=True,
            ca_cert=config.ca_file or None,
            settings=CLUSTER_SETTINGS if config.cluster else {},
        )
    return Client(driver, where, Layout(config.cluster, config.shard))


def _check_ca(file: str, secure: bool) -> None:
    if file and not secure:
        raise UsageError(
            "clickhouse.ca_file is set, but clickhouse.url is not https: the password would go in the clear",
            "设置了 clickhouse.ca_file，但 clickhouse.url 不是 https：密码会以明文传输",
        )
    if file:
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:
            why = error.strerror or str(error)
            raise UsageError(
                f"clickhouse.ca_file: {file} cannot be used ({why}); want a PEM file",
                f"clickhouse.ca_file：无法使用 {file}（{why}）；应为 PEM 文件",
            ) from error


def _embedded(directory: str) -> Client:
    path = Path(directory or ".").absolute()
    where = f"{CHDB}{path}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".writable").touch()
        (path / ".writable").unlink()
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"clickhouse.url: {path} is not a directory: name one for the embedded database (--db, or chdb:DIR)",
            f"clickhouse.url：{path} 不是目录：请为内嵌数据库指定一个目录（--db 或 chdb:目录）",
        ) from error
    except OSError as error:
        raise UsageError(
            f"clickhouse.url: cannot write in the directory {path}: {error}",
            f"clickhouse.url：无法写入目录 {path}：{error}",
        ) from error
    # The engine is loaded now, into our process: let its allocator, and Arrow's, give freed pages back at once.
    os.environ.setdefault("JE_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")
    pa.set_memory_pool(pa.system_memory_pool())
    with _translated(where):
        try:
            driver = clickhouse_connect.get_client(interface="chdb", path=str(path))
        except ClickHouseError as error:
            if _locked(path / "status"):
                raise taken(where) from error
            raise
    return Client(driver, where)


def _locked(status: Path) -> bool:
    """Whether the engine of another process holds the lock file of its directory (ours does not: it failed to open)."""
    try:
        with status.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _shown(url: str) -> str:
    """The URL without a password."""
    before, at, after = url.rpartition("@")
    return f"{before.split(':')[0]}:***@{after}" if at else url


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        ours = translate(error, where)
        if ours is error:
            raise
        raise ours from error
