"""Mapping files: TOML -> `Mapping`, with errors that name the file, the key and a fix."""

from __future__ import annotations

import csv
import difflib
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import UsageError
from schemas.sources.checks import check
from schemas.sources.spec import Category, Csv, Field, Id, Mapping, Place, Relation, Reporter, Revision, State, Time

__all__ = ["Mapping", "load_mapping", "mapping_version", "shipped"]

HERE = Path(__file__).parent
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "": Mapping,
    "id": Id,
    "revision": Revision,
    "time": Time,
    "category": Category,
    "place": Place,
    "reporter": Reporter,
    "relations[]": Relation,
    "state": State,
    "csv": Csv,
}
_UNKNOWN = re.compile(r"unknown field `(.*)`")


def shipped() -> list[str]:
    """Names of the mappings that come with the package."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


def load_mapping(name_or_path: str | Path) -> Mapping:
    """The mapping of a shipped name ("110") or of a file (a path, or anything that ends in .toml).

    Raises UsageError naming file, key and fix for a file that is not there, not TOML, or says what it may not say.
    """
    path = _find(name_or_path)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: not readable as TOML: {error}", f"{path}：无法按 TOML 读取：{error}") from error
    try:
        mapping = msgspec.convert(tree, Mapping)
    except msgspec.ValidationError as error:
        raise _explained(path, str(error)) from error
    if mapping.category.file:
        codes = {**_dictionary(path, mapping.category.file), **mapping.category.codes}
        mapping = msgspec.structs.replace(mapping, category=msgspec.structs.replace(mapping.category, codes=codes))
    check(mapping, str(path))
    return mapping


def mapping_version(mapping: Mapping) -> str:
    """Content hash of all it says, its dictionary included (12 hex digits)."""
    return hashlib.blake2b(msgspec.json.encode(mapping, order="sorted"), digest_size=6).hexdigest()


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    named = isinstance(name_or_path, str) and "/" not in text and "\\" not in text
    if named and (HERE / f"{text}.toml").is_file():
        return HERE / f"{text}.toml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = ", ".join(shipped())
    near = _hint(text, shipped())
    raise UsageError(
        f"no mapping {text!r}: neither a file nor one of the shipped ones ({known}){near[0]}",
        f"没有映射 {text!r}：既不是文件，也不是自带的映射（{known}）{near[1]}",
    )


def _hint(word: str, known: list[str]) -> tuple[str, str]:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return (f"; did you mean {near[0]!r}?", f"；是否想写 {near[0]!r}？") if near else ("", "")


def _explained(path: Path, message: str) -> UsageError:
    """msgspec's message with the key as it stands in the file, and the nearest key that would be right."""
    what, _, where = message.partition(" - at `$")
    section = where.rstrip("`").lstrip(".")
    unknown = _UNKNOWN.search(what)
    if unknown is None:
        key = section or "(top level)"
        missing = re.search(r"missing required field `(.*)`", what)
        if missing:
            key = f"{section}.{missing[1]}".lstrip(".")
            return UsageError(f"{path}: {key} is missing; add it", f"{path}：缺少 {key}，请补上")
        return UsageError(f"{path}: {key}: {what}", f"{path}：{key}：类型或取值不对（{what}）")
    kind = _SECTIONS.get(re.sub(r"\[\d+\]", "[]", section), Field)
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    key = f"{section}.{unknown[1]}".lstrip(".")
    en, zh = _hint(unknown[1], known)
    listed = ", ".join(known)
    return UsageError(
        f"{path}: unknown key {key}{en or f'; known here: {listed}'}",
        f"{path}：未知的键 {key}{zh or f'；此处可用：{listed}'}",
    )


def _dictionary(mapping: Path, name: str) -> dict[str, str]:
    """Rows of code, then one column a level, after a row of titles."""
    path = mapping.parent / name
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows: list[list[Any]] = list(csv.reader(handle, strict=True))[1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{mapping}: category.file: {path} is not readable as CSV: {error}",
            f"{mapping}：category.file：无法按 CSV 读取 {path}：{error}",
        ) from error
    return {row[0].strip(): "/".join(filter(None, map(str.strip, row[1:]))) for row in rows if row and row[0].strip()}
