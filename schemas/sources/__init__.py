"""Adapters: how a source's record becomes a Signal. A mapping is TOML that a city can write without Python."""

from schemas.sources.mapping import Mapping, load_mapping, mapping_version

__all__ = ["Mapping", "load_mapping", "mapping_version"]
