"""What `quanyu doctor` looks at in Kafka: brokers, clocks, topics, how long they keep, rights, the group's lag."""

from __future__ import annotations

from collections.abc import Callable

from streams.commands.base import say
from streams.commands.doctor_check import DRIFT_MS, WRONG_MS, Check, clock, error, good, tried, warning
from streams.kafka import DAY_MS, LOG_MESSAGE_BYTES, check_topics, reachable, wanted_topics
from streams.kafka_security import ACLS, needs
from streams.kafka_state import Lag, TopicState, broker_ahead_ms, broker_versions, describe, lags
from streams.settings import Settings

#: time between two states that are kept, at most: the log must hold that much beyond the horizon
KEPT_MS = DAY_MS
#: list_offsets by the highest time stamp came with it
OLDEST = (3, 0)


def kafka_checks(settings: Settings, now_ms: Callable[[], int], wait_s: float, probe: bool) -> list[Check]:
    """One finding if it does not answer, else all of them."""
    first, brokers = tried("kafka", "Kafka", lambda: reachable(settings.kafka, wait_s))
    if brokers is None:
        return [first]
    first.detail = ", ".join(brokers)
    checks = [first, _versions(settings, wait_s)]
    name = say("topics", "主题")
    found, topics = tried("topics", name, lambda: check_topics(settings))
    if topics is None:
        checks.append(found)
    else:
        checks.append(good("topics", name, f"{len(topics)}"))
        wanted = [topic.name for topic in topics]
        found, states = tried("topics", name, lambda: describe(settings, wanted))
        if states is None:
            return [*checks[:-1], found]
        checks += [
            copies(settings, states),
            retention(settings, states),
            sizes(settings, states),
            rights(settings, states),
        ]
        checks.append(stamps(states, now_ms()))
        # what the group reads and commits: of other topics everything would seem to wait
        own = [*(s.topic for s in settings.sources.values() if s.topic), settings.kafka.log_topic]
        found, counted = tried("lag", say("consumer group", "消费组"), lambda: lags(settings, own))
        checks.append(found if counted is None else group_lag(settings, counted))
    if probe:
        topic = f"{settings.kafka.group}.doctor"
        name = say("Kafka clock", "Kafka 时钟")
        found, ahead_ms = tried("kafka_clock", name, lambda: broker_ahead_ms(settings, topic, now_ms))
        checks.append(found if ahead_ms is None else clock("kafka_clock", name, ahead_ms, "the brokers", " broker "))
    return checks


def needed_ms(settings: Settings) -> int:
    """How long the log must keep its records: corrections reach back a horizon, a restart to the last kept state."""
    return max(source.horizon_h for source in settings.sources.values()) * 3_600_000 + KEPT_MS


def _versions(settings: Settings, wait_s: float) -> Check:
    name = say("Kafka version", "Kafka 版本")
    found, versions = tried("kafka_version", name, lambda: broker_versions(settings.kafka, wait_s))
    if versions is None:
        return found
    shown = ", ".join(sorted({".".join(map(str, version)) for version in versions.values()}))
    if min(versions.values()) < OLDEST:
        return warning(
            "kafka_version", name, shown, say("update the brokers to 3.0 or newer", "请升级 broker 到 3.0 或更新版本")
        )
    return good("kafka_version", name, shown)


def copies(settings: Settings, states: list[TopicState]) -> Check:
    name, wanted = say("copies of topics", "主题副本"), settings.kafka.replication
    few = [f"{s.name} {s.in_sync}/{s.copies}" for s in states if s.copies < wanted or s.in_sync < s.copies]
    if few:
        return warning(
            "copies",
            name,
            say(f"in sync, of all: {', '.join(few)}; wanted {wanted}", f"同步/全部：{'、'.join(few)}；应为 {wanted}"),
            say(
                "bring the missing brokers back; add copies with kafka-reassign-partitions.sh",
                "请恢复缺失的 broker；用 kafka-reassign-partitions.sh 增加副本",
            ),
        )
    return good("copies", name, say(f"{wanted} or more, all in sync", f"不少于 {wanted} 份，全部同步"))


def retention(settings: Settings, states: list[TopicState]) -> Check:
    name, log, needed = say("retention", "保留期"), settings.kafka.log_topic, needed_ms(settings)
    kept = {state.name: state.retention_ms for state in states}

    def days(ms: int) -> str:
        return say("for ever", "永久") if ms < 0 else f"{ms / DAY_MS:g} d"

    if 0 <= kept[log] < needed:
        return error(
            "retention",
            name,
            say(
                f"{log} keeps {days(kept[log])}, {days(needed)} are needed",
                f"{log} 保留 {days(kept[log])}，需要 {days(needed)}",
            ),
            say(
                "raise retention.ms of the topic with kafka-configs.sh: a restart must find the longest horizon_h "
                "and a day more",
                "请用 kafka-configs.sh 提高该主题的 retention.ms：重启时须能读到最长的 horizon_h 再加一天",
            ),
            2,
        )
    short = [f"{topic} {days(ms)}" for topic, ms in kept.items() if topic != log and 0 <= ms < DAY_MS]
    if short:
        return warning(
            "retention",
            name,
            ", ".join(short),
            say(
                "keep raw records a day at least (retention.ms): after a longer outage they would be gone unread",
                "原始记录至少保留一天（retention.ms）：否则较长的中断后会未读即删",
            ),
        )
    return good("retention", name, say(f"log {days(kept[log])}", f"日志 {days(kept[log])}"))


def sizes(settings: Settings, states: list[TopicState]) -> Check:
    name = say("message sizes", "消息大小")
    wanted = {topic.name: topic.max_message_bytes for topic in wanted_topics(settings)}
    small = [f"{s.name} {s.max_message_bytes}" for s in states if s.max_message_bytes < wanted[s.name]]
    if small:
        return error(
            "sizes",
            name,
            ", ".join(small),
            say(
                f"set max.message.bytes with kafka-configs.sh: {LOG_MESSAGE_BYTES} for the log and late topics, "
                f"{max(1_048_588, settings.intake.max_record_bytes)} for raw ones",
                f"请用 kafka-configs.sh 设置 max.message.bytes：日志与迟到主题 {LOG_MESSAGE_BYTES}，"
                f"原始主题 {max(1_048_588, settings.intake.max_record_bytes)}",
            ),
            2,
        )
    return good("sizes", name, say("large enough", "足够"))


def rights(settings: Settings, states: list[TopicState]) -> Check:
    """Which stages this user may run: a cluster with least rights has a user for each."""
    name, missing = say("Kafka rights", "Kafka 权限"), {state.name: state.missing_rights for state in states}
    lacking = {
        stage: [f"{need} {topic}" for need, topic in needs(settings, (stage,)) if need in missing.get(topic, ())]
        for stage in ("intake", "city")
    }
    may = [stage for stage, lacks in lacking.items() if not lacks]
    if len(may) == len(lacking):
        return good("kafka_rights", name, say("every topic can be read and written", "各主题可读写"))
    detail = "; ".join(f"{stage}: {', '.join(lacks)}" for stage, lacks in lacking.items() if lacks)
    fix = say(f"{ACLS} grants each role what it needs", f"各角色所需权限见 {ACLS}")
    if may:
        only = say(
            f"run `quanyu live --stages {may[0]}` as this user; ", f"此用户只运行 `quanyu live --stages {may[0]}`；"
        )
        return warning("kafka_rights", name, detail, only + fix)
    return error("kafka_rights", name, detail, fix, 2)


def stamps(states: list[TopicState], now_ms: int) -> Check:
    """Time stamps of the future: of whoever wrote the newest records, or of the broker that stamps them."""
    name = say("newest records", "最新记录")
    ahead = {s.name: s.newest_ms - now_ms for s in states if s.newest_ms is not None}
    most = max(ahead, key=lambda topic: ahead[topic], default="")
    if most and ahead[most] > DRIFT_MS:
        detail = say(
            f"{most} is {ahead[most] / 1000:.1f} s ahead of this clock",
            f"{most} 超前本机时钟 {ahead[most] / 1000:.1f} 秒",
        )
        fix = say(
            "set the clocks of the senders, of the brokers and of this machine by NTP; --probe tells the broker's",
            "请用 NTP 校准发送方、broker 与本机的时钟；--probe 可测出 broker 的时钟",
        )
        make = error if ahead[most] > WRONG_MS else warning
        return make("stamps", name, detail, fix)
    return good("stamps", name, say("none from the future", "没有来自未来的时间"))


def group_lag(settings: Settings, found: list[Lag]) -> Check:
    name, group = say("consumer group", "消费组"), settings.kafka.group
    raw = sum(lag.waiting for lag in found if lag.topic != settings.kafka.log_topic)
    log = sum(lag.waiting for lag in found if lag.topic == settings.kafka.log_topic)
    lost = [f"{lag.topic} {lag.lost}" for lag in found if lag.lost and lag.topic != settings.kafka.log_topic]
    if lost:
        return error(
            "lag",
            name,
            say(f"deleted before they were read: {', '.join(lost)}", f"未读即被删除：{'、'.join(lost)}"),
            say(
                "these records are gone from Kafka: have the source send them again, and raise retention.ms",
                "这些记录已从 Kafka 删除：请来源方重发，并提高 retention.ms",
            ),
        )
    if not any(lag.started for lag in found):
        return good("lag", name, say(f"{group} has not run yet", f"{group} 尚未运行过"))
    detail = say(
        f"{group}: {raw} raw records and {log} log messages wait",
        f"{group}：待处理原始记录 {raw} 条、日志消息 {log} 条",
    )
    return good("lag", name, detail)
