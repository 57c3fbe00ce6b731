"""Files of records, read in constant memory: CSV and NDJSON, plain or gzip.

A record is handed on as the bytes that stand in the file, whatever is wrong with it; its offset is its number, from 0,
the header not counted. A quote that is never closed costs the one line it stands in, not the rest of the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from schemas import QuanyuError, RawBatch, UsageError
from schemas.sources import Mapping

#: no line and no quoted record is longer; a longer line is cut here (and refused as oversized by intake)
MAX_BYTES = 4 << 20
_BUFFER = 1 << 18
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


def read_batches(path: str | Path, source: str, mapping: Mapping, batch_size: int, now_ms: int) -> Iterator[RawBatch]:
    """The file's records as batches of one origin, `file:NAME`. An empty file gives none.

    Raises UsageError if it cannot be opened or has no header; QuanyuError when a gzip file is damaged, after every
    record that could be read has been given.
    """
    path = Path(path)
    header: tuple[str, ...] = ()
    values: list[bytes] = []
    first = 0

    def batch() -> RawBatch:
        offsets = list(range(first, first + len(values)))
        return RawBatch(source, f"file:{path.name}", 0, values, offsets, [], now_ms, header)

    with closing(_open(path)) as handle:
        try:
            lines = _lines(handle)
            if mapping.format == "csv":
                if mapping.csv.header:
                    header = _header(next(_csv_records(lines, mapping), b""), path, mapping)
                records = _csv_records(lines, mapping)
            else:
                records = _json_records(lines, path)
            for value in _without_blank_end(records):
                values.append(value)
                if len(values) == batch_size:
                    yield batch()
                    first, values = first + len(values), []
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            if values:
                yield batch()
            read = first + len(values)
            raise QuanyuError(
                f"{path}: damaged gzip ({error}); the {read} records before the damage were read. Fetch the file again",
                f"{path}：gzip 已损坏（{error}）；损坏处之前的 {read} 条记录已读取。请重新获取该文件",
            ) from error
        if values:
            yield batch()


class _Inflated(io.RawIOBase):
    """What a gzip file gives, piece by piece: a damaged end loses no byte before it."""

    def __init__(self, compressed: gzip.GzipFile) -> None:
        self._compressed = compressed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        piece = self._compressed.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._compressed.close()
        super().close()


def _open(path: Path) -> IO[bytes]:
    try:
        with path.open("rb") as handle:
            zipped = handle.read(len(_GZIP)) == _GZIP
        if zipped:
            return io.BufferedReader(_Inflated(gzip.GzipFile(path)), _BUFFER)
        return path.open("rb", buffering=_BUFFER)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; check the path",
            f"{path}：无法读取：{error.strerror}；请检查路径",
        ) from error


def _lines(handle: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends, without a byte order mark; of one longer than MAX_BYTES only the beginning."""
    start = True
    for line in iter(lambda: handle.readline(MAX_BYTES + 1), b""):
        rest = line
        while len(rest) > MAX_BYTES and not rest.endswith(b"\n"):
            rest = handle.readline(MAX_BYTES + 1)
        yield line.removeprefix(_BOM) if start else line
        start = False


def _without_blank_end(records: Iterator[bytes]) -> Iterator[bytes]:
    """Blank records in the middle are records (and refused); at the end they are the end."""
    blank = 0
    for record in records:
        if not record or record.isspace():
            blank += 1
            continue
        for _ in range(blank):
            yield b""
        blank = 0
        yield record


def _json_records(lines: Iterator[bytes], path: Path) -> Iterator[bytes]:
    for number, line in enumerate(lines):
        if number == 0 and line.strip() == b"[":
            raise UsageError(
                f"{path}: one JSON array; one object a line is wanted (jq -c '.[]' makes that)",
                f"{path}：整个文件是一个 JSON 数组；应为每行一个对象（可用 jq -c '.[]' 转换）",
            )
        yield line.rstrip(b"\r\n")


def _header(record: bytes, path: Path, mapping: Mapping) -> tuple[str, ...]:
    if not record:
        return ()
    try:
        names = next(csv.reader([record.decode(mapping.encoding)], delimiter=mapping.csv.delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: header not readable: {error}", f"{path}：无法读取表头：{error}") from error
    return tuple(name.strip() for name in names)


def _csv_records(lines: Iterator[bytes], mapping: Mapping) -> Iterator[bytes]:
    """Records of a CSV file: a line, or several while a quoted field is open."""
    quotes = _Quotes(mapping.csv.delimiter.encode())
    waiting: deque[bytes] = deque()
    while True:
        line = waiting.popleft() if waiting else next(lines, b"")
        if not line:
            return
        if b'"' not in line or not quotes.left_open(line):
            yield line.rstrip(b"\r\n")
            continue
        taken, size, closed = [line], len(line), False
        while not closed and size <= MAX_BYTES:
            more = waiting.popleft() if waiting else next(lines, b"")
            if not more:
                break
            taken.append(more)
            size += len(more)
            closed = b'"' in more and not quotes.still_open(more)
        if closed:
            yield b"".join(taken).rstrip(b"\r\n")
        else:
            waiting.extendleft(reversed(taken[1:]))
            yield line.rstrip(b"\r\n")


class _Quotes:
    """Whether a line ends inside a quoted field, by the csv module's rules: only a field's first quote opens it."""

    def __init__(self, delimiter: bytes) -> None:
        mark = re.escape(delimiter)
        quoted = rb'[^"]*+(?:""[^"]*+)*+"'
        field = rb'(?:"' + quoted + rb"[^" + mark + rb"\r\n]*+|[^" + mark + rb'"\r\n][^' + mark + rb"\r\n]*+|)"
        fields = field + rb"(?:" + mark + field + rb")*+[\r\n]*+"
        self._whole = re.compile(fields)
        self._rest = re.compile(quoted + rb"[^" + mark + rb"\r\n]*+(?:" + mark + field + rb")*+[\r\n]*+")

    def left_open(self, line: bytes) -> bool:
        """Of a record's first line."""
        return self._whole.fullmatch(line) is None

    def still_open(self, line: bytes) -> bool:
        """Of a line that begins inside a quoted field."""
        return self._rest.fullmatch(line) is None
