"""JSON logs on standard error: one object a line, with time, level, event and fields.

Never a caller's data, and never a secret: clients log at `debug` what they were configured with and what they send.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import structlog

#: what is shorter is no secret, and would be found in every line
SHORTEST = 4


def configure(level: str, secrets: Iterable[str] = ()) -> None:
    """Send structlog's and the standard library's records (Faust, aiokafka) to stderr as JSON, from `level` up.

    Of `secrets` (the configured ones) none is written: `***` stands for it.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
                _masking(secrets),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("aiokafka", "kafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(root.level)


def _masking(secrets: Iterable[str]) -> Any:
    """A processor for the finished line, in which a secret may be spelled in several ways."""
    spelled = {spelling for secret in secrets for spelling in _spellings(secret)}
    longest_first = sorted((s for s in spelled if len(s) >= SHORTEST), key=len, reverse=True)

    def masked(_: Any, __: str, line: str) -> str:
        for secret in longest_first:
            line = line.replace(secret, "***")
        return line

    return masked


def _spellings(secret: str) -> Iterator[str]:
    """As it is, as Python or JSON writes it or its bytes; each of them once more inside a JSON string, or two."""
    written = {secret, repr(secret)[1:-1], repr(secret.encode())[2:-1], json.dumps(secret)[1:-1]}
    written.add(json.dumps(secret, ensure_ascii=False)[1:-1])
    for _ in range(3):
        yield from written
        written = {json.dumps(text, ensure_ascii=False)[1:-1] for text in written}


def get() -> Any:
    """The product's logger."""
    return structlog.get_logger("quanyu")
