"""The endpoint of metrics and health is for this machine, unless a configuration says otherwise."""

from __future__ import annotations

import socket

import pytest

from streams import metrics
from streams.settings import Settings, load


@pytest.mark.parametrize(("told", "address"), [({}, "127.0.0.1"), ({"QUANYU__METRICS__HOST": "0.0.0.0"}, "0.0.0.0")])
def test_it_listens_on_the_loopback_unless_told(told: dict[str, str], address: str) -> None:
    server = metrics.serve(load(environ=told).metrics.host, 0, lambda: True)
    try:
        assert server.socket.getsockname()[0] == address
        # 127.0.0.2 is this machine too, by another address: only who listens on all of them answers there
        with socket.socket() as probe:
            reached = probe.connect_ex(("127.0.0.2", server.server_address[1])) == 0
        assert reached is (address == "0.0.0.0")
    finally:
        server.shutdown()
        server.server_close()


def test_the_default_is_the_loopback() -> None:
    assert Settings().metrics.host == "127.0.0.1"
