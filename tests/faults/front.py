"""An HTTP proxy before ClickHouse that can be told to misbehave as servers and networks do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.servers.broker import free_port

#: what to answer instead of the server: status, headers, text
ANSWERS: dict[str, tuple[int, dict[str, str], str]] = {
    "error 500": (500, {}, "Internal Server Error"),
    "out of memory": (
        500,
        {"X-ClickHouse-Exception-Code": "241"},
        "Code: 241. DB::Exception: (total) memory limit exceeded: would use 30.01 GiB. (MEMORY_LIMIT_EXCEEDED)\n",
    ),
    "disk full": (
        500,
        {"X-ClickHouse-Exception-Code": "243"},
        "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)\n",
    ),
}
#: the server gets nothing and the client no answer
HANG = "hang"
#: the server does what it is told, and the client hears nothing of it
CUT = "reply lost"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Front:
    """The proxy, on a port of its own. `fault`: what it does now, "" for passing everything on."""

    def __init__(self, behind: str) -> None:
        self._behind, self.port = behind, free_port()
        self.fault = ""
        #: requests that met a fault since it began
        self.met = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)
        self._hanging: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """What to put in `clickhouse.url`."""
        return f"http://default@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._call(self._start())

    def end(self) -> None:
        """Close everything."""
        self.heal()
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def down(self) -> None:
        """Refuse connections, as a port does that nothing listens on."""
        self._call(self._site.stop())

    def up(self) -> None:
        """Listen again."""
        self._call(self._listen())

    @contextmanager
    def failing(self, fault: str) -> Iterator[None]:
        """Misbehave while the block runs."""
        self.met, self.fault = 0, fault
        try:
            yield
        finally:
            self.heal()

    def heal(self) -> None:
        """Pass everything on again; who still hangs is cut off."""
        self.fault = ""
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._hanging])

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=1 << 31)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.Response:
        fault = self.fault
        self.met += bool(fault)
        body = await request.read()
        if fault in ANSWERS:
            status, headers, text = ANSWERS[fault]
            return web.Response(status=status, headers=headers, text=text)
        if fault == HANG:
            await self._hang()
        else:
            with suppress(aiohttp.ClientError):
                answer = await self._forward(request, body)
                if fault != CUT:
                    return answer
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _hang(self) -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        self._hanging.add(task)
        await asyncio.wait([task])
        self._hanging.discard(task)

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        kept = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP | {"host"}}
        there = URL(self._behind + request.raw_path, encoded=True)
        async with self._session.request(request.method, there, headers=kept, data=body) as answer:
            head = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
            return web.Response(status=answer.status, headers=head, body=await answer.read())
