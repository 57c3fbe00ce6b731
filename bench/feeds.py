"""How often a healthy feed is called ill, and how soon an ill one is: `python -m bench.feeds [--days N] [--rate N]`.

A simulated city is listened to minute by minute. Alerts that open while nothing is broken are false. On the last days
each feed is broken at several hours in a copy of what is known of it, dead or thinned to a fifth, and the minutes until
it is told are counted; "day" is a break at 10:00 or 15:00 local time, "night" one at 3:00.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from zlib import crc32

import click

from bench.report import Report
from schemas import Envelope, FeedHealth, Located, Signal, Versions
from streams.demo import PARTITION, origins, steps
from streams.pipeline import city_stage, heartbeat, paces_of
from streams.rooms.feeds import ALARMS, Feeds, State
from streams.settings import Settings
from streams.simulator.city import make_city
from streams.simulator.scenarios import scenario
from streams.simulator.simulation import Emission, simulate
from streams.windows import DAY_MS, HOUR_MS, MINUTE_MS

START_MS = 1_772_380_800_000  # 2026-03-02 00:00 in Shanghai, a Monday
HOURS = {"night": (3,), "day": (10, 15)}
#: days at whose hours feeds are broken, counted from the last
BROKEN_DAYS = (1, 2, 3, 5)
#: what was not told within so long was missed
LONGEST_MS = 24 * HOUR_MS


def feeds_room(settings: Settings) -> Feeds:
    """The room as the city stage has it."""
    sources = origins(settings)
    return city_stage(settings, ("unit",), Versions(), paces_of(settings), sources).feeds


def heard(source: str, emissions: Sequence[Emission], first: int, now_ms: int) -> list[Envelope]:
    """What the log says of a source's last minute: an envelope of what came, and that it was read to its end."""
    topic, n = f"raw.{source}", len(emissions)
    located = [
        Located(Signal(f"{source}:{e.id}", source, -1, e.arrival_ms, e.arrival_ms, e.arrival_ms, "x"), ("",))
        for e in emissions
    ]
    offsets = list(range(first, first + n))
    came = [Envelope(topic, PARTITION, first, first + n - 1, now_ms, located, offsets)] if n else []
    return [*came, heartbeat(topic, PARTITION, first + n, now_ms, now_ms)]


def minutes(days: int, rate: float, name: str, seed: int) -> Iterator[tuple[int, dict[str, list[Emission]]]]:
    """(end of the minute, what arrived in it by source) of a simulated city; ends with its last day."""
    emissions = simulate(make_city(seed, 100), scenario(name), seed, days, rate, START_MS)
    for end, arrived in steps(emissions, START_MS, lambda _: MINUTE_MS):
        if end > START_MS + days * DAY_MS:
            return
        by: dict[str, list[Emission]] = {source: [] for source in Settings().sources}
        for emission in arrived:
            by[emission.source].append(emission)
        yield end, by


class Broken:
    """A feed that breaks in a copy of what is known."""

    def __init__(self, source: str, kept: float, when: str, begun_ms: int, state: State) -> None:
        self.source, self.kept, self.when, self.begun_ms = source, kept, when, begun_ms
        self._state = copy.deepcopy(state)
        self._offset = 10**9

    def told(self, room: Feeds, now_ms: int, arrived: Sequence[Emission]) -> int | None:
        """Minutes until an alarm, when it comes; LONGEST_MS when it never did."""
        left = [e for e in arrived if crc32(f"{self.begun_ms}{e.id}".encode()) < self.kept * 2**32]
        rows = room.step(self._state, heard(self.source, left, self._offset, now_ms))
        self._offset += len(left)
        alarm = next((row for row in rows if row.source == self.source and row.state in ALARMS), None)
        if alarm is None and now_ms - self.begun_ms < LONGEST_MS:
            return None
        return (min(alarm.at_ms - self.begun_ms, LONGEST_MS) if alarm else LONGEST_MS) // MINUTE_MS


@click.command()
@click.option("--days", default=37, show_default=True, type=click.IntRange(14), help="The first seven teach.")
@click.option("--rate", default=16_000.0, show_default=True, help="Reports a day.")
@click.option("--scenario", "name", default="city", show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(days: int, rate: float, name: str, seed: int, as_json: bool) -> None:
    """False alerts of healthy feeds; minutes until a broken one is told."""
    settings = Settings()
    room = feeds_room(settings)
    state = room.start()
    offsets = dict.fromkeys(settings.sources, 0)
    alerts: Counter[str] = Counter()
    broken: list[Broken] = []
    told: dict[tuple[str, float, str], list[int]] = {}
    breaks = {
        START_MS + (days - day) * DAY_MS + hour * HOUR_MS - DAY_MS: when
        for when, hours in HOURS.items()
        for hour in hours
        for day in BROKEN_DAYS
    }
    for now, arrived in minutes(days, rate, name, seed):
        rows: list[FeedHealth] = []
        for source, emissions in arrived.items():
            rows += room.step(state, heard(source, emissions, offsets[source], now))
            offsets[source] += len(emissions)
        alerts.update(row.source for row in rows if row.opened_at_ms == row.at_ms)
        for one in list(broken):
            took = one.told(room, now, arrived[one.source])
            if took is not None:
                told.setdefault((one.source, one.kept, one.when), []).append(took)
                broken.remove(one)
        if now in breaks:
            broken += [Broken(s, kept, breaks[now], now, state) for s in settings.sources for kept in (0.0, 0.2)]

    report = Report("feeds")
    for source in settings.sources:
        a_month = 30 * alerts[source] / (days - settings.feeds.min_history_days)
        report.figure(f"false_alerts_in_30_days_{source}", round(a_month, 2), "", at_most=1.0)
    for (source, kept, when), delays in sorted(told.items()):
        what = "thinned" if kept else "dead"
        goal = 10.0 if (source, kept, when) == ("110", 0.0, "day") else None
        report.figure(f"{what}_{when}_{source}_median", median(delays), "min", at_most=goal)
        report.figure(f"{what}_{when}_{source}_longest", max(delays), "min")
    report.value("records", sum(offsets.values()))
    report.print(as_json)


if __name__ == "__main__":
    main()
