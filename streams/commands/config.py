"""`quanyu config check|show`: what the configuration really is."""

from __future__ import annotations

from typing import Any

import click
from msgspec.structs import asdict

from schemas import QuanyuError
from streams import settings as configuration
from streams.assemble import assemble
from streams.commands.base import configured, fail, json_option, print_json, say
from streams.settings import Settings


@click.group("config")
def config_group() -> None:
    """The configuration: check it, show it. 配置：检查与显示。"""


@config_group.command("check")
@configured
@json_option
def check_command(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Load everything it names (mappings, grids) and print it, secrets masked. 检查配置并显示，密钥隐去。

    \b
    quanyu config check --config quanyu.toml
    """
    try:
        settings = configuration.load(config, overrides=overrides)
        assembly = assemble(settings, b"check")
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json({"config": configuration.masked(settings), "versions": asdict(assembly.versions)})
        return
    _print(settings)
    click.echo(
        say(f"good: config version {assembly.versions.config}", f"配置有效，版本 {assembly.versions.config}"), err=True
    )


@config_group.command("show")
@configured
@json_option
def show_command(config: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print the effective configuration as TOML, secrets masked. 显示生效的配置。"""
    try:
        settings = configuration.load(config, overrides=overrides)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json(configuration.masked(settings))
    else:
        _print(settings)


def _print(settings: Settings) -> None:
    click.echo(to_toml(configuration.masked(settings)), nl=False)


def to_toml(tree: dict[str, Any], path: str = "") -> str:
    """A tree of scalars, lists and sections as TOML."""
    flat = [f"{_key(k)} = {_value(v)}\n" for k, v in tree.items() if not isinstance(v, dict)]
    text = (f"[{path}]\n" if path and flat else "") + "".join(flat) + ("\n" if flat else "")
    return text + "".join(
        to_toml(v, f"{path}.{_key(k)}" if path else _key(k)) for k, v in tree.items() if isinstance(v, dict)
    )


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isascii() and key.replace("_", "").isalnum() else f'"{key}"'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return repr(value)
