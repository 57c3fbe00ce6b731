"""Secrets of the configuration: where they may come from, and that they are never shown.

From the environment or from a file that `NAME_file` names; never from the TOML or the command line, which others read
(repositories, process lists, the arguments that a run records), and never inside a URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from schemas import UsageError
from streams.settings_tree import Place

#: (section, key); each has a `key_file` beside it
SECRETS = (("intake", "caller_key"), ("clickhouse", "password"), ("kafka", "sasl_password"))
#: shown instead of one
MASK = "***"
_IN_URL = re.compile(r"(?<=//)[^/@\s]*:[^/@\s]*(?=@)")


class Section(Struct, frozen=True):
    """A section that holds a secret: its `repr`, which ends up in messages and tracebacks, shows none."""

    def __repr__(self) -> str:
        keys = {key for _, key in SECRETS}
        shown = {name: MASK if name in keys and value else value for name, value in _fields(self)}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def _fields(part: Struct) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(part, name)) for name in part.__struct_fields__)


def refuse(path: tuple[str, ...], text: object, place: Place, prefix: str) -> None:
    """Raise UsageError for a secret where none may be, not repeating it; `place` is a file or an option."""
    if path in SECRETS and text:
        section, key = path
        variable = f"{prefix}{section}__{key}".upper()
        raise place.error(
            path,
            f"is a secret; give it as {variable} or in a file named by {section}.{key}_file",
            f"是密钥，请用环境变量 {variable} 或 {section}.{key}_file 指定的文件给出",
        )


def refuse_in_url(path: tuple[str, ...], text: object, place: Place, prefix: str) -> None:
    """Raise UsageError for a password in a URL, wherever the URL was written."""
    if path == ("clickhouse", "url") and isinstance(text, str) and _IN_URL.search(text):
        variable = f"{prefix}CLICKHOUSE__PASSWORD"
        raise place.error(
            path,
            f"holds a password; write http[s]://user@host:port, and give the password as {variable} or in a file "
            f"named by clickhouse.password_file",
            f"含有密码；请写成 http[s]://用户@主机:端口，密码用环境变量 {variable} 或 "
            f"clickhouse.password_file 指定的文件给出",
        )


def with_files(settings: Any) -> Any:
    """The settings with the secrets that files hold. What the environment says wins."""
    for section, key in SECRETS:
        part = getattr(settings, section)
        name = getattr(part, f"{key}_file")
        if name and not getattr(part, key):
            try:
                secret = Path(name).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "not UTF-8"
                raise UsageError(
                    f"{section}.{key}_file: {name}: {why}", f"{section}.{key}_file：{name}：{why}"
                ) from None
            settings = replace(settings, **{section: replace(part, **{key: secret})})
    return settings


def values(settings: Any) -> list[str]:
    """Every secret of these settings."""
    found = (getattr(getattr(settings, section), key) for section, key in SECRETS)
    return [secret for secret in found if secret]


def mask(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree of a configuration with `***` for each secret (in place)."""
    for section, key in SECRETS:
        if tree[section][key]:
            tree[section][key] = MASK
    return tree
