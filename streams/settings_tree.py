"""Configuration as a tree of builtins: texts become values of the type their key has, and every key is checked.

The type is that of the struct of the configuration, so that nothing is guessed: a key that is a string takes the text
as it is (`true`, `2026-01-01`, `0x10` too), and what is wrong is told with the place where it was written.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from schemas import UsageError

ZH_TYPES = {
    "int": "整数",
    "str": "文本",
    "bool": "true 或 false",
    "float": "数",
    "array": "列表",
    "object": "段",
    "null": "空",
    "date": "日期",
    "datetime": "日期时间",
    "time": "时间",
}


class Place(NamedTuple):
    """Where a value was written: a file, a variable of the environment, an option."""

    en: str
    zh: str

    def error(self, path: Iterable[str], en: str, zh: str) -> UsageError:
        """What is wrong with the key at `path`."""
        key = ".".join(path)
        if not key or self.en.endswith(f" {key}"):
            return UsageError(f"{self.en}: {en}", f"{self.zh}：{zh}")
        return UsageError(f"{self.en}: {key}: {en}", f"{self.zh}：{key}：{zh}")


DEFAULTS = Place("defaults", "默认值")


def read(file: str | Path | None) -> tuple[dict[str, Any], Place]:
    """The tree of `file`, or of ./quanyu.toml if it is there, and its place. UsageError if it cannot be read."""
    path = Path(file) if file else Path("quanyu.toml")
    place = Place(str(path), str(path))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), place
    except FileNotFoundError:
        if file:
            raise UsageError(f"no configuration file {path}", f"没有配置文件 {path}") from None
        return {}, DEFAULTS
    except OSError as error:
        raise place.error((), f"cannot be read: {error.strerror}", f"无法读取：{error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise place.error((), f"not valid TOML: {error}", f"不是有效的 TOML：{error}") from error


def told(
    environ: Mapping[str, str], prefix: str, overrides: Iterable[str]
) -> Iterator[tuple[tuple[str, ...], str, Place]]:
    """(path, text, where it was written) of what the environment and the command line say."""
    for key in sorted(environ):
        if key.startswith(prefix):
            path = tuple(key[len(prefix) :].lower().split("__"))
            yield path, environ[key], Place(f"environment {key}", f"环境变量 {key}")
    for item in overrides:
        name, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item}: want section.key=value", f"--set {item}：应为 section.key=value")
        name = name.strip()
        yield tuple(name.split(".")), value, Place(f"--set {name}", f"--set {name}")


def paths(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Path of every section and key."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from paths(value, (*path, key))


def put(tree: dict[str, Any], path: Sequence[str], text: str, root: type[Struct], place: Place) -> None:
    """Set the key at `path` to a value given as text. Raises UsageError where it cannot be one of `root`."""
    value = parsed(text, _kind(root, path))
    node: Any = value
    for part in reversed(path):
        node = {part: node}
    check(node, root, place)
    node = tree
    for part in path[:-1]:
        node = node.setdefault(part, {})
    node[path[-1]] = value


def parsed(text: str, kind: Any) -> Any:
    """The value of a text: TOML, or the text itself where it is none; for a string the text, without TOML quotes."""
    if kind is str and not (len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"):
        return text
    try:
        read = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["v"] if len(read) == 1 else text


def check(tree: Any, kind: Any, place: Place, path: tuple[str, ...] = ()) -> None:
    """Raise UsageError for an unknown key, an ill-typed value or one out of range; keys may be missing."""
    fields = _fields(kind)
    if fields is None:
        try:
            msgspec.convert(tree, kind)
        except msgspec.ValidationError as error:
            raise place.error(path, str(error), _chinese(str(error))) from None
        return
    if not isinstance(tree, dict):
        raise place.error(path, "is a section, not a value", "是一个段，不是值")
    for key, value in tree.items():
        inner = fields.get("*") or fields.get(key)
        if inner is None:
            near = get_close_matches(key, fields, n=1)
            known = ", ".join(fields)
            raise place.error(
                (*path, key),
                f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else f"; known: {known}"),
                f"未知的键 `{key}`" + (f"；是否应为 `{near[0]}`？" if near else f"；可用：{known}"),
            )
        check(value, inner, place, (*path, key))


def merged(low: Mapping[str, Any], high: Any) -> Any:
    """`high` over `low`, section by section."""
    if not isinstance(high, dict):
        return high
    return {**low, **{k: merged(low[k], v) if isinstance(low.get(k), dict) else v for k, v in high.items()}}


def _fields(kind: Any) -> dict[str, Any] | None:
    """Types of the keys of a section, `*` for any key; None if `kind` is a value."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return get_type_hints(kind, include_extras=True)
    if get_origin(kind) is dict and _fields(get_args(kind)[1]) is not None:
        return {"*": get_args(kind)[1]}
    return None


def _kind(kind: Any, path: Sequence[str]) -> Any:
    """Type of the key at `path`, without its bounds; None if there is no such key."""
    for part in path:
        fields = _fields(kind) or {}
        kind = fields.get("*") or fields.get(part)
    return getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind


def _chinese(text: str) -> str:
    """A message of msgspec in Chinese."""
    text = re.sub(r"`(\w+)`", lambda found: ZH_TYPES.get(found[1], found[0]), text)
    text = re.sub(r" matching regex '(.*)'", r"，且符合 \1", text)
    return text.replace("Expected ", "应为").replace(", got ", "，实为").replace(" - at ", "，位于 ")
