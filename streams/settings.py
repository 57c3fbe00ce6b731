"""Configuration: `quanyu.toml` < `QUANYU__SECTION__KEY` environment < `--set section.key=value`, read once.

Frozen structs; an unknown key or a value out of range is a `UsageError` that names the path. Secrets come from the
environment or from a file named by `*_file`, never from the TOML itself. Names carry units.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct, field

from schemas import UsageError

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]


class City(Struct, frozen=True, forbid_unknown_fields=True):
    """The city itself."""

    name: str = "示范市"
    timezone: Annotated[str, Meta(description="IANA name; days and hours of the day are counted in it")] = (
        "Asia/Shanghai"
    )


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """One source of signals and how it keeps time."""

    mapping: Annotated[str, Meta(description="mapping file, or the name of a shipped one")]
    topic: str = ""
    partitions: Positive = 4
    tardy: Annotated[bool, Meta(description="never holds the watermark; its signals revise panes")] = False
    lateness_s: Annotated[int, Meta(ge=-1, description="how late a signal may come; -1: sort the whole input")] = 120
    horizon_h: Annotated[int, Meta(ge=1, description="how long corrections and duplicates are recognised")] = 48


class Intake(Struct, frozen=True, forbid_unknown_fields=True):
    """What the intake room refuses, and when it gives up."""

    max_bad_share: Annotated[Share, Meta(description="above this share of rejected records the run stops")] = 0.2
    bad_window: Annotated[Positive, Meta(description="records over which the share is judged")] = 1000
    max_record_bytes: Positive = 1_000_000
    max_ahead_h: Annotated[Positive, Meta(description="how far a time may lie ahead of the clock told")] = 24
    earliest: Annotated[str, Meta(description="no event is older")] = "1990-01-01"
    latest: Annotated[str, Meta(description="no event is newer; empty: the clock told + max_ahead_h")] = ""
    caller_key: Annotated[str, Meta(description="secret of the callers' keyed hash (environment only)")] = ""
    caller_key_file: str = ""


class Grids(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the city's cells come from."""

    file: Annotated[str, Meta(description="polygons, layer list (.toml) or built index; empty: regular grid")] = ""
    shape: Annotated[str, Meta(pattern="^(square|hex)$")] = "square"
    sizes_m: Annotated[dict[str, float], Meta(description="regular grid: layer -> cell size, finest first")] = field(
        default_factory=lambda: {"unit": 500.0, "street": 2000.0, "district": 10000.0}
    )


class Panes(Struct, frozen=True, forbid_unknown_fields=True):
    """Spans of time that are counted."""

    minutes: Annotated[int, Meta(ge=1, le=60, description="shortest pane; divides an hour")] = 15
    category_depth: Positive = 1
    resolutions_min: Annotated[dict[str, list[int]], Meta(description="layer -> lengths; others: shortest only")] = (
        field(
            default_factory=lambda: {
                "unit": [15],
                "street": [15, 1440],
                "district": [15, 60, 1440],
                "city": [15, 60, 1440],
                "source": [15, 60, 1440],
            }
        )
    )


class Incidents(Struct, frozen=True, forbid_unknown_fields=True):
    """When reports are one matter."""

    session_gap_min: Annotated[Positive, Meta(description="silence that ends a session")] = 30
    category_depth: Annotated[Positive, Meta(description="levels of the category that must agree")] = 1


class HotSpots(Struct, frozen=True, forbid_unknown_fields=True):
    """First, provisional detector: the last panes of a cell against the same hours of past days."""

    window_panes: Positive = 4
    history_days: Positive = 14
    min_history_days: Positive = 3
    min_count: Positive = 4
    open_score: Annotated[float, Meta(gt=0, description="-log10 of the tail probability")] = 6.0
    keep_score: Annotated[float, Meta(gt=0)] = 3.0
    close_after_h: Positive = 12
    dispersion: Annotated[float, Meta(gt=0, description="day-to-day variance / mean² of the counts")] = 0.2


class Repeats(Struct, frozen=True, forbid_unknown_fields=True):
    """The repeat list: at least `incidents` in `days` at one place."""

    incidents: Annotated[int, Meta(ge=2)] = 3
    days: Positive = 30
    close_days: Positive = 15


class Kafka(Struct, frozen=True, forbid_unknown_fields=True):
    """The corridor of the live system."""

    servers: str = "localhost:9092"
    group: str = "quanyu"
    log_topic: str = "signals.located"
    late_topic: str = "signals.late"
    retention_days: Positive = 30
    replication: Positive = 1
    heartbeat_s: Annotated[float, Meta(gt=0, description="an idle partition's clock is told this often")] = 5.0
    heartbeat_clock: Annotated[
        str,
        Meta(pattern="^(wall|events)$", description="wall: now - lateness; events: follow the others (simulations)"),
    ] = "wall"


class ClickHouse(Struct, frozen=True, forbid_unknown_fields=True):
    """Where results end: `chdb:DIR` (embedded) or `http[s]://user@host:port`."""

    url: str = "chdb:quanyu-data/clickhouse"
    database: Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] = "quanyu"
    password: Annotated[str, Meta(description="secret (environment only)")] = ""
    password_file: str = ""
    batch_rows: Positive = 10_000
    batch_s: Annotated[float, Meta(gt=0)] = 1.0
    retention_days: Annotated[NotNegative, Meta(description="0: for ever")] = 0


class Metrics(Struct, frozen=True, forbid_unknown_fields=True):
    """Prometheus endpoint of the live worker."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="0: none")] = 9464


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """JSON logs on standard error."""

    level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"


def _sources() -> dict[str, Source]:
    return {
        "110": Source(mapping="110", topic="raw.110"),
        "12345": Source(mapping="12345", topic="raw.12345", tardy=True, lateness_s=3600),
        "grid": Source(mapping="grid", topic="raw.grid", lateness_s=300),
        "sensor": Source(mapping="sensor", topic="raw.sensor", lateness_s=300, horizon_h=24),
    }


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    city: City = City()
    sources: dict[str, Source] = field(default_factory=_sources)
    intake: Intake = Intake()
    grids: Grids = Grids()
    panes: Panes = Panes()
    incidents: Incidents = Incidents()
    hotspots: HotSpots = HotSpots()
    repeats: Repeats = Repeats()
    kafka: Kafka = Kafka()
    clickhouse: ClickHouse = ClickHouse()
    metrics: Metrics = Metrics()
    log: Log = Log()


SECRETS = (("intake", "caller_key"), ("clickhouse", "password"))
#: sections that change results; their hash is the config version that travels with every result
DECIDING = ("city", "sources", "intake", "grids", "panes", "incidents", "hotspots", "repeats")
PREFIX = "QUANYU__"


def load(
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
    base: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the configuration: `file` (or ./quanyu.toml if present), then environment, then `section.key=value`s.

    `base` is a tree below the file: what a command would rather have than the defaults. A file that has `[sources]`
    names all of them; else the four shipped ones are there. Raises UsageError with the path of the key for anything
    unknown, ill-typed or out of range.
    """
    environ = os.environ if environ is None else environ
    tree, origin = _read(file)
    tree.setdefault("sources", {name: {} for name in _sources()})
    tree = _merged(dict(base or {}), tree)
    for name in SECRETS:
        if tree.get(name[0], {}).get(name[1]):
            raise UsageError(
                f"{origin}: {name[0]}.{name[1]} is a secret; give it as {PREFIX}{name[0].upper()}__{name[1].upper()} "
                f"or in a file named by {name[0]}.{name[1]}_file",
                f"{origin}：{name[0]}.{name[1]} 是密钥，请用环境变量 {PREFIX}{name[0].upper()}__{name[1].upper()} "
                f"或 {name[0]}.{name[1]}_file 指定的文件给出",
            )
    for key in sorted(environ):
        if key.startswith(PREFIX):
            path = key[len(PREFIX) :].lower().split("__")
            _put(tree, path, environ[key], f"environment {key}")
    for item in overrides:
        path_text, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item}: want section.key=value", f"--set {item}：应为 section.key=value")
        _put(tree, path_text.split("."), value, f"--set {path_text}")
    settings = _convert(tree, origin)
    return _with_secret_files(_check(settings, origin))


def _read(file: str | Path | None) -> tuple[dict[str, Any], str]:
    path = Path(file) if file else Path("quanyu.toml")
    if not path.exists():
        if file:
            raise UsageError(f"no configuration file {path}", f"没有配置文件 {path}")
        return {}, "defaults"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), str(path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}", f"{path}：不是有效的 TOML：{error}") from error


def _put(tree: dict[str, Any], path: list[str], value: str, origin: str) -> None:
    """Set a value given as text; it is read as TOML where it is TOML, else as a string."""
    node = tree
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise UsageError(f"{origin}: {part} is not a section", f"{origin}：{part} 不是一个段")
    node[path[-1]] = _literal(value)


def _literal(value: str) -> Any:
    try:
        return tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return value


def _convert(tree: dict[str, Any], origin: str) -> Settings:
    if isinstance(sources := tree.get("sources"), dict):
        shipped = msgspec.to_builtins(_sources())
        tree = {**tree, "sources": {k: _merged(shipped.get(k, {}), v) for k, v in sources.items()}}
    # A text given by the environment may look like a number where a string is wanted (a password 1234).
    try:
        return msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError:
        try:
            return msgspec.convert(_texts(tree, Settings()), Settings, strict=True)
        except msgspec.ValidationError as error:
            raise UsageError(f"{origin}: {error}", f"{origin}：{error}") from error


def _merged(low: dict[str, Any], high: Any) -> Any:
    """`high` over `low`, section by section."""
    if not isinstance(high, dict):
        return high
    return {**low, **{k: _merged(low[k], v) if isinstance(low.get(k), dict) else v for k, v in high.items()}}


def _texts(tree: dict[str, Any], like: Any) -> dict[str, Any]:
    """Numbers where the default is a string become strings again."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        default = like.get(key) if isinstance(like, dict) else getattr(like, key, None)
        if isinstance(value, dict):
            out[key] = _texts(value, default)
        elif isinstance(default, str) and isinstance(value, int | float) and not isinstance(value, bool):
            out[key] = str(value)
        else:
            out[key] = value
    return out


def _check(settings: Settings, origin: str) -> Settings:
    def bad(path: str, en: str, zh: str) -> UsageError:
        return UsageError(f"{origin}: {path}: {en}", f"{origin}：{path}：{zh}")

    try:
        ZoneInfo(settings.city.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise bad("city.timezone", f"unknown zone {settings.city.timezone!r}", "未知时区") from None
    if 60 % settings.panes.minutes:
        raise bad("panes.minutes", "must divide 60", "必须整除 60")
    for layer, lengths in settings.panes.resolutions_min.items():
        for minutes in lengths:
            if minutes % settings.panes.minutes or 1440 % minutes:
                raise bad(
                    f"panes.resolutions_min.{layer}",
                    f"{minutes} must be a multiple of panes.minutes and divide 1440",
                    f"{minutes} 必须是 panes.minutes 的倍数且整除 1440",
                )
    if not settings.sources:
        raise bad("sources", "at least one source is needed", "至少需要一个来源")
    topics = [s.topic for s in settings.sources.values() if s.topic]
    for topic in topics:
        if topics.count(topic) > 1:
            raise bad("sources", f"two sources read topic {topic}", f"两个来源读同一主题 {topic}")
    return settings


def _with_secret_files(settings: Settings) -> Settings:
    for section, key in SECRETS:
        part = getattr(settings, section)
        name = getattr(part, f"{key}_file")
        if name and not getattr(part, key):
            try:
                secret = Path(name).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise UsageError(f"{section}.{key}_file: {error}", f"{section}.{key}_file：{error}") from error
            settings = msgspec.structs.replace(settings, **{section: msgspec.structs.replace(part, **{key: secret})})
    return settings


def masked(settings: Settings) -> dict[str, Any]:
    """The effective configuration as builtins, secrets shown as ***."""
    tree = cast("dict[str, Any]", msgspec.to_builtins(settings))
    for section, key in SECRETS:
        if tree[section][key]:
            tree[section][key] = "***"
    return tree


def version(settings: Settings) -> str:
    """Content hash of every setting that can change a result (12 hex digits)."""
    tree = masked(settings)
    deciding = {name: tree[name] for name in DECIDING}
    return hashlib.blake2b(msgspec.json.encode(deciding, order="sorted"), digest_size=6).hexdigest()
