"""What a replay is given: whether it can be read, and the key that it makes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from pathlib import Path

from schemas import UsageError
from streams.settings import Settings


def check_usage(
    files: Sequence[Path], names: Sequence[str], maps: Sequence[str], kafka: bool, from_log: bool, archive: str = ""
) -> None:
    """Raise UsageError for options that do not go together, and for files that cannot be read."""
    if archive and (files or kafka != from_log):
        raise UsageError(
            "--archive goes alone, or with --kafka --log for what follows on Kafka",
            "--archive 须单独使用，或与 --kafka --log 同用以接续 Kafka 上的后续部分",
        )
    if not archive and bool(files) == kafka:
        raise UsageError(
            "give either --file (with --source), --kafka or --archive",
            "请给出 --file（并带 --source）、--kafka 或 --archive 之一",
        )
    if files and len(names) != len(files):
        raise UsageError(
            f"{len(files)} --file but {len(names)} --source: each file needs its own",
            f"{len(files)} 个 --file，但有 {len(names)} 个 --source：每个文件都要有来源",
        )
    if maps and len(maps) != len(files):
        raise UsageError(
            f"{len(files)} --file but {len(maps)} --map: give one each, or none",
            f"{len(files)} 个 --file，但有 {len(maps)} 个 --map：请逐一给出或都不给",
        )
    if from_log and not kafka:
        raise UsageError("--log goes with --kafka", "--log 须与 --kafka 同用")
    for file in files:
        _check_file(file)


def _check_file(file: Path) -> None:
    """A file is read twice, first for the key of the callers' hash: neither a directory nor a pipe will do."""

    def bad(en: str, zh: str) -> UsageError:
        return UsageError(f"--file {file}: {en}", f"--file {file}：{zh}")

    try:
        mode = file.stat().st_mode
        if stat.S_ISDIR(mode):
            raise bad("is a directory; name the files in it, one --file each", "是目录，请逐个用 --file 给出其中的文件")
        if not stat.S_ISREG(mode):
            raise bad("is not a regular file; write the records to one first", "不是普通文件，请先把记录存成文件")
        file.open("rb").close()
    except FileNotFoundError:
        raise bad("no such file", "没有这个文件") from None
    except OSError as error:
        raise bad(f"cannot be read: {error.strerror}", f"无法读取：{error.strerror}") from error


def caller_key(settings: Settings, files: Sequence[Path]) -> bytes:
    """The configured secret; else a key made of the files' own content.

    Then the same files give the same hashes, and only who holds the files, and so the callers, can make the key.
    """
    if settings.intake.caller_key:
        return settings.intake.caller_key.encode()
    if not files:
        raise UsageError(
            "no secret for the callers' hash: set QUANYU__INTAKE__CALLER_KEY or intake.caller_key_file",
            "缺少来电人散列密钥：请设置 QUANYU__INTAKE__CALLER_KEY 或 intake.caller_key_file",
        )
    digest = hashlib.blake2b(digest_size=32)
    for file in files:
        with file.open("rb") as handle:
            digest.update(handle.read(1 << 20))
        digest.update(str(file.stat().st_size).encode())
    return digest.digest()
