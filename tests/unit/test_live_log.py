"""What a live worker logs: what a person can act on."""

from __future__ import annotations

import logging

import pytest

from schemas import Unreachable
from streams.commands.live import _is_news


def record(logger: str, text: str, error: Exception | None = None) -> logging.LogRecord:
    return logging.LogRecord(
        logger, logging.ERROR, __file__, 1, text, None, (type(error), error, None) if error else None
    )


@pytest.mark.parametrize(
    ("logger", "text", "error"),
    [
        ("aiokafka", "Unable connect to node with id 1: [Errno 111] Connect call failed", None),
        ("aiokafka.consumer.fetcher", "Failed fetch messages from 1: NodeNotReadyError: Attempt to send", None),
        ("kafka.net.transport", "Error receiving network data closing socket", ConnectionResetError()),
        ("faust.app.base", "Crashed", Unreachable("gone", "没有响应")),
    ],
)
def test_a_client_that_tries_again_is_no_news(logger: str, text: str, error: Exception | None) -> None:
    assert not _is_news(record(logger, text, error))


@pytest.mark.parametrize(
    ("logger", "text", "error"),
    [
        ("aiokafka.cluster", "Topic raw.110 is not authorized for this client", None),
        ("aiokafka.consumer.fetcher", "Unexpected error in fetcher routine", RuntimeError("a bug")),
        ("quanyu", "waiting for the broker; nothing is lost: NodeNotReadyError", None),
    ],
)
def test_everything_else_is(logger: str, text: str, error: Exception | None) -> None:
    assert _is_news(record(logger, text, error))
