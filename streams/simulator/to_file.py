"""Records into files: one NDJSON a source in order of arrival, ground truth and layers beside them, and a manifest."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from schemas import UsageError
from streams.simulator.dictionaries import SOURCES
from streams.simulator.simulation import Emission
from streams.simulator.truth import Row


class Folder:
    """A folder that a simulation is written into. A context manager: files are complete when it closes."""

    def __init__(self, path: Path, zipped: bool) -> None:
        self.path = path
        self._zipped = zipped
        self._stack = ExitStack()

    def __enter__(self) -> Folder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._truth = self._stack.enter_context(self._open("truth.ndjson", zipped=False))
            self._records = {source: self._stack.enter_context(self._open(self._name(source))) for source in SOURCES}
        except OSError as error:
            raise UsageError(
                f"--to file {self.path}: cannot write: {error}; give a folder that can be written",
                f"--to file {self.path}：无法写入：{error}；请给出可写的目录",
            ) from error
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def put_truth(self, row: Row) -> None:
        """One row of ground truth."""
        self._truth.write(msgspec.json.encode(row) + b"\n")

    def put(self, emissions: Iterable[Emission]) -> Counter[str]:
        """All records, each to its source's file; gives how many each file holds."""
        counts: Counter[str] = Counter(dict.fromkeys(SOURCES, 0))
        files = self._records
        for emission in emissions:
            file = files[emission.source]
            file.write(emission.record)
            file.write(b"\n")
            counts[emission.source] += 1
        return counts

    def put_manifest(self, manifest: dict[str, Any]) -> None:
        """What the folder holds and how to make it again."""
        (self.path / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")

    @property
    def files(self) -> dict[str, str]:
        """File name by source."""
        return {source: self._name(source) for source in SOURCES}

    def _name(self, source: str) -> str:
        return f"{source}.ndjson" + (".gz" if self._zipped else "")

    def _open(self, name: str, zipped: bool | None = None) -> BinaryIO:
        if self._zipped if zipped is None else zipped:
            # No name and no time in the header: the same records give the same bytes.
            raw = self._stack.enter_context((self.path / name).open("wb"))
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=5, mtime=0)
            return io.BufferedWriter(cast("io.RawIOBase", packed), 1 << 20)
        return (self.path / name).open("wb", buffering=1 << 20)
