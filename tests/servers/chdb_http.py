"""chDB behind the ClickHouse HTTP interface: `python -m tests.servers.chdb_http --path DIR --port P`.

A test double: ClickHouse's own engine, in a process that can be killed. Every leased connection is a chDB session of
its own, so settings and temporary tables stay apart, as on a server. It has no quotas, no streaming of results and no
native protocol; one user, or those of `chdb_users`; TLS with `--cert`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gzip
import json
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import chdb
import lz4.frame
import zstandard
from aiohttp import web

from tests.servers.chdb_users import Denied, User, Users

#: parameters of the HTTP interface that are no settings of the engine
NOT_SETTINGS = {
    "query",
    "database",
    "default_format",
    "session_id",
    "session_timeout",
    "session_check",
    "query_id",
    "user",
    "password",
    "quota_key",
    "role",
    "compress",
    "decompress",
    "buffer_size",
    "wait_end_of_query",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "enable_http_compression",
    "add_http_cors_header",
}
#: HTTP status by ClickHouse error code; any other is 500
STATUS = {159: 408} | dict.fromkeys((516, 452, 192, 193, 497), 403) | dict.fromkeys((60, 81, 46, 47, 50, 115, 16), 404)
STATUS |= dict.fromkeys((36, 62, 6, 27, 26, 43, 53, 69, 72, 73, 38, 41), 400)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "gzip": lambda data: gzip.compress(data, 1),
}
UNPACK: dict[str, Callable[[], Any]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
}
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*(?:SETTINGS\b.*)?$", re.I | re.S)
INSERT = re.compile(
    rb"\A((?:\s|--[^\n]*\n|/\*.*?\*/)*INSERT\s+INTO\b.*?)\bFORMAT\s+(\w+)(?:[ \t]*\r?\n|\s|\Z)", re.I | re.S
)
NAME = re.compile(r"^[A-Za-z_]\w*$")


class EngineError(Exception):
    """An error of the engine, with its code."""

    def __init__(self, text: str) -> None:
        found = re.search(r"Code:\s*(\d+)", text)
        self.code = int(found.group(1)) if found else 1002
        super().__init__(text)


class Session:
    """A chDB connection: one statement at a time."""

    def __init__(self, path: str) -> None:
        self.connection = chdb.connect(path)
        self.database = "default"

    def run(
        self, sql: bytes, format: str, database: str, settings: Mapping[str, str], parameters: Mapping[str, str]
    ) -> tuple[bytes, dict[str, int]]:
        """Result and summary of a statement."""
        try:
            if database != self.database:
                self.connection.query(f"USE `{database}`")
                self.database = database
            if settings:
                self.connection.query("SET " + ", ".join(f"{k} = {_literal(v)}" for k, v in settings.items()))
            insert = INSERT.match(sql, 0, 1 << 20)
            if insert and sql[insert.end() :].strip():
                return self._insert(insert, sql)
            result = self.connection.query(sql, format, params=dict(parameters))
            return result.bytes(), {
                "read_rows": result.storage_rows_read(),
                "written_rows": result.rows_written(),
                "result_rows": result.rows_read(),
                "elapsed_ns": int(result.elapsed() * 1e9),
            }
        except RuntimeError as error:
            raise EngineError(str(error)) from error
        finally:
            if settings:
                with contextlib.suppress(RuntimeError):
                    self.connection.query("SET " + ", ".join(f"{k} = DEFAULT" for k in settings))

    def ast(self, sql: str, parameters: Mapping[str, str]) -> str:
        """What the engine's parser makes of a statement."""
        try:
            return self.connection.query(f"EXPLAIN AST {sql}", "TSVRaw", params=dict(parameters)).bytes().decode()
        except RuntimeError as error:
            raise EngineError(str(error)) from error

    def _insert(self, insert: re.Match[bytes], sql: bytes) -> tuple[bytes, dict[str, int]]:
        """Data inline in a statement would be cut at ";" or a blank line: stream it instead."""
        with self.connection.send_insert(insert.group(1).decode(), insert.group(2).decode()) as stream:
            for start in range(insert.end(), len(sql), 1 << 22):
                stream.append(sql[start : start + (1 << 22)])
            result = stream.finish()
        return b"", {"written_rows": result.rows_written, "written_bytes": result.bytes_written}


class Front:
    """The HTTP side: leases sessions to requests."""

    def __init__(self, path: str, workers: int, user: str, password: str, users: Users | None = None) -> None:
        self.credentials = (user, password)
        self.users = users
        self.pool = ThreadPoolExecutor(workers)
        self.free = [Session(path) for _ in range(workers)]
        self.gate = asyncio.Semaphore(workers)
        answer = self.free[0].connection.query("SELECT version(), timezone()", "TSV").bytes().decode().split()
        self.version, self.timezone = answer

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=1 << 31)
        app.router.add_get("/ping", self.ping)
        app.router.add_route("*", "/", self.handle)
        app.on_cleanup.append(self.close)
        return app

    async def ping(self, _: web.Request) -> web.Response:
        """Alive."""
        return web.Response(text="Ok.\n")

    async def handle(self, request: web.Request) -> web.Response:
        """One statement."""
        arguments = dict(request.query)
        head = {
            "X-ClickHouse-Query-Id": arguments.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Server-Display-Name": "chdb",
            "X-ClickHouse-Timezone": self.timezone,
        }
        try:
            user = self._check_user(request, arguments)
            sql = await _statement(request, arguments)
            format = arguments.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated"
            database = (arguments.get("database") or request.headers.get("X-ClickHouse-Database") or "default").replace(
                "`", ""
            )
            settings = {
                key: value
                for key, value in arguments.items()
                if key not in NOT_SETTINGS and not key.startswith("param_") and NAME.match(key)
            }
            parameters = {key[6:]: value for key, value in arguments.items() if key.startswith("param_")}
            async with self._lease() as session:
                if self.users and user:
                    settings = self.users.settings(user, settings)
                    text = sql[:1_000_000].decode("utf-8", "replace")
                    self.users.allow(user, text, database, lambda text: session.ast(text, parameters))
                data, summary = await asyncio.get_running_loop().run_in_executor(
                    self.pool, session.run, sql, format, database, settings, parameters
                )
        except (EngineError, Denied) as error:
            head["X-ClickHouse-Exception-Code"] = str(error.code)
            text = f"{error} (version {self.version})\n"
            return web.Response(status=STATUS.get(error.code, 500), text=text, headers=head)
        if data:
            found = FORMAT.search(sql[-400:])
            head["X-ClickHouse-Format"] = found.group(1).decode() if found else format
        head["X-ClickHouse-Summary"] = json.dumps({key: str(value) for key, value in summary.items()})
        if arguments.get("enable_http_compression") == "1" and data:
            data = _packed(request, data, head)
        return web.Response(body=data, headers=head | {"Content-Type": "application/octet-stream"})

    async def close(self, _: web.Application) -> None:
        """Close the engine's connections."""
        self.pool.shutdown(wait=True)
        for session in self.free:
            session.connection.close()

    @contextlib.asynccontextmanager
    async def _lease(self) -> AsyncIterator[Session]:
        async with self.gate:
            session = self.free.pop()
            try:
                yield session
            finally:
                self.free.append(session)

    def _check_user(self, request: web.Request, arguments: Mapping[str, str]) -> User | None:
        user = request.headers.get("X-ClickHouse-User") or arguments.get("user", "default")
        password = request.headers.get("X-ClickHouse-Key") or arguments.get("password", "")
        basic = request.headers.get("Authorization", "")
        if basic.startswith("Basic "):
            user, _, password = base64.b64decode(basic[6:]).decode().partition(":")
        if self.users:
            return self.users.known(user, password)
        if self.credentials[0] and (user, password) != self.credentials:
            raise EngineError(f"Code: 516. DB::Exception: {user}: Authentication failed. (AUTHENTICATION_FAILED)")
        return None


async def _statement(request: web.Request, arguments: dict[str, str]) -> bytes:
    """The statement: of the URL, of the body (perhaps packed), or of a form with its parameters."""
    if request.content_type.startswith("multipart/"):
        form = await request.post()
        arguments.update({key: value for key, value in form.items() if isinstance(value, str)})
        return arguments.get("query", "").encode()
    body = await request.read()
    encoding = request.headers.get("Content-Encoding", "")
    if encoding in UNPACK and (encoding == "lz4" or body[:4] == ZSTD_MAGIC):
        body = _unpacked(encoding, body)
    query = arguments.get("query", "").encode()
    return query + b"\n" + body if query and body else query or body


def _unpacked(encoding: str, data: bytes) -> bytes:
    """Clients send one frame or several."""
    out = []
    while data:
        frame = UNPACK[encoding]()
        out.append(frame.decompress(data))
        data = frame.unused_data
    return b"".join(out)


def _packed(request: web.Request, data: bytes, head: dict[str, str]) -> bytes:
    for name in (part.split(";")[0].strip() for part in request.headers.get("Accept-Encoding", "").split(",")):
        if name in PACK:
            head["Content-Encoding"] = name
            return PACK[name](data)
    return data


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--user", default="", help="accept this user alone")
    parser.add_argument("--password", default="")
    parser.add_argument("--users", type=Path, help="SQL of the users, as `quanyu migrate --users-sql` prints it")
    parser.add_argument("--cert", type=Path, help="PEM certificate: serve https")
    parser.add_argument("--key", type=Path, help="its key")
    options = parser.parse_args()
    users = Users(options.users.read_text(encoding="utf-8")) if options.users else None
    tls = None
    if options.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.cert, options.key)

    async def app() -> web.Application:
        return Front(options.path, options.workers, options.user, options.password, users).app()

    web.run_app(app(), host=options.host, port=options.port, access_log=None, ssl_context=tls)


if __name__ == "__main__":
    main()
