"""Builds the two stages from a configuration: mappings, grids, versions, paces. Used by every shell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version as package_version

import msgspec

from geo.grids import Grids, open_grids, regular_grids
from schemas import Versions
from schemas.sources.mapping import load_mapping, mapping_version
from schemas.sources.spec import Mapping as SourceMapping
from streams import settings as configuration
from streams.pipeline import CityStage, IntakeStage, Meter, city_stage, intake_stage, paces_of
from streams.rooms.intake import Intake
from streams.rooms.locate import Locate
from streams.settings import Settings


class Assembly(msgspec.Struct, frozen=True):
    """The product, wired for one run."""

    settings: Settings
    mappings: dict[str, SourceMapping]
    grids: Grids
    versions: Versions
    intake: IntakeStage
    city: CityStage


def assemble(
    settings: Settings, caller_key: bytes, origins: Mapping[str, str] | None = None, meter: Meter | None = None
) -> Assembly:
    """Wire both stages. `origins`: origin -> source; default: every partition of every configured topic.

    Raises UsageError for a mapping or grid file that is not sound.
    """
    mappings = {name: load_mapping(source.mapping) for name, source in settings.sources.items()}
    grids = grids_of(settings)
    versions = Versions(grids=grids.version, config=config_version(settings, mappings), code=package_version("quanyu"))
    return Assembly(
        settings,
        mappings,
        grids,
        versions,
        intake_stage(Intake(mappings, settings.intake, caller_key), Locate(grids), versions, meter),
        city_stage(
            settings,
            grids.layers,
            versions,
            paces_of(settings),
            dict(origins) if origins is not None else topic_origins(settings),
            meter,
        ),
    )


def config_version(settings: Settings, mappings: Mapping[str, SourceMapping]) -> str:
    """Content hash of everything that decides results: settings and mappings, not where they lie."""
    sources = {
        name: msgspec.structs.replace(source, mapping=mapping_version(mappings[name]))
        for name, source in settings.sources.items()
    }
    grids = msgspec.structs.replace(settings.grids, file="")
    return configuration.version(msgspec.structs.replace(settings, sources=sources, grids=grids))


def topic_origins(settings: Settings) -> dict[str, str]:
    """Every partition of every source's topic, as an origin of the log."""
    return {
        origin(source.topic, partition): name
        for name, source in settings.sources.items()
        if source.topic
        for partition in range(source.partitions)
    }


def origin(topic: str, partition: int) -> str:
    """Name of an origin of the log, as `Envelope.origin` gives it."""
    return f"{topic}/{partition}"


def only(settings: Settings, sources: Iterable[str]) -> Settings:
    """The configuration with these sources alone."""
    return msgspec.structs.replace(settings, sources={name: settings.sources[name] for name in sources})


def grids_of(settings: Settings) -> Grids:
    """The configured grids: a file's, or regular ones. Raises UsageError for a file that is not sound."""
    if settings.grids.file:
        return open_grids(settings.grids.file)
    return regular_grids(settings.grids.sizes_m, settings.grids.shape)
