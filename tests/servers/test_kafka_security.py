"""Kafka that asks who you are: every role with its least rights, and every refusal in words a person can act on.

The rights are those of docker/kafka/acls.sh, given by Kafka's own kafka-acls to a broker with SCRAM, TLS and ACLs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.kafka import CONNECT_S
from streams.kafka_probe import refused
from streams.settings import load
from tests.servers.certificates import authority
from tests.servers.deployment import SOURCES, City, Worker
from tests.servers.recounted import recount, stored
from tests.servers.secured import Secured, secured

pytestmark = pytest.mark.servers

TOPICS, INTAKE, CITY, PRODUCER, REPLAY = (
    f"quanyu-{role}" for role in ("topics", "intake", "city", "producer", "replay")
)
NAME = "guarded"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The broker, with the rights of every role."""
    with secured(tmp_path_factory.mktemp("guarded")) as broker:
        broker.give_rights(
            {
                "QUANYU_RAW_TOPICS": " ".join(f"{NAME}.raw.{source}" for source in SOURCES),
                "QUANYU_LOG_TOPIC": f"{NAME}.log",
                "QUANYU_LATE_TOPIC": f"{NAME}.late",
                "QUANYU_REJECTED_TOPIC": f"{NAME}.rejected",
                "QUANYU_STATE_TOPIC": f"{NAME}.state",
                "QUANYU_WATERMARK_TOPIC": f"{NAME}.watermark",
                "QUANYU_GROUP": NAME,
            }
        )
        yield broker


@pytest.fixture(scope="module")
def city(kafka: Secured, clickhouse: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """A deployment on it: topics made, one day sent, each by its own user."""
    city = City(NAME, kafka.servers, clickhouse, tmp_path_factory.mktemp("city"), looking=kafka.settings("admin"))
    act(city, kafka, TOPICS)
    city.prepare()
    act(city, kafka, PRODUCER)
    city.simulate()
    yield city
    city.end()


def act(city: City, kafka: Secured, user: str, **more: str) -> City:
    """From now on the city's commands are this user's."""
    city.settings.clear()
    city.settings.update(kafka.settings(user) | more)
    return city


def refusal(city: City, *command: str) -> str:
    """What a command says that is refused: one line, no traceback, exit 2."""
    done = city.run("--lang", "en", *command)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert city.settings["QUANYU__KAFKA__SASL_PASSWORD"] not in done.stdout + done.stderr
    return line


def test_a_stranger_is_told_which_right_is_missing(kafka: Secured, city: City) -> None:
    act(city, kafka, "stranger")
    for command in (("topics", "check"), ("topics", "create"), ("live",), ("simulate", "--to", "kafka")):
        line = refusal(city, *command)
        assert "does not allow user stranger" in line and f"DESCRIBE topic {NAME}.late, {NAME}.log" in line
        assert "docker/kafka/acls.sh" in line
    for command in (("replay", "run", "--kafka"), ("replay", "run", "--kafka", "--log")):
        assert f"READ topic {NAME}." in refusal(city, *command)


def test_a_role_may_not_do_the_work_of_another(kafka: Secured, city: City) -> None:
    act(city, kafka, PRODUCER)
    line = refusal(city, "live")
    for right in (f"READ topic {NAME}.raw.110", f"WRITE topic {NAME}.log", f"WRITE topic {NAME}.late"):
        assert right in line
    act(city, kafka, INTAKE)
    line = refusal(city, "live")
    assert f"READ topic {NAME}.log, WRITE topic {NAME}.late, WRITE topic {NAME}.watermark" in line
    assert f"READ topic {NAME}.state, WRITE topic {NAME}.state" in line and "raw" not in line
    assert f"WRITE topic {NAME}.raw.110" in refusal(city, "simulate", "--to", "kafka")
    act(city, kafka, CITY)
    line = refusal(city, "live", "--stages", "intake")
    assert f"READ topic {NAME}.raw.110" in line and f"WRITE topic {NAME}.rejected" in line
    assert f"{NAME}.raw.110" in refusal(city, "replay", "run", "--kafka")


def test_a_group_that_is_not_ours_ends_the_worker_with_the_reason(kafka: Secured, city: City) -> None:
    act(city, kafka, INTAKE, QUANYU__KAFKA__GROUP="somebody-elses")
    line = refusal(city, "live", "--stages", "intake")
    assert f"does not allow user {INTAKE}" in line and "group somebody-elses" in line


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"SASL_PASSWORD": "not-the-password"}, "refuses user quanyu-intake: Authentication failed"),
        ({"SASL_USERNAME": "nobody"}, "refuses user nobody: Authentication failed"),
        ({"SASL_MECHANISM": "PLAIN"}, "it takes SCRAM-SHA-512, SCRAM-SHA-256, not PLAIN"),
        ({"TLS_CA_FILE": "other/ca.pem"}, "a certificate that is not to be trusted"),
        ({"TLS_CA_FILE": "nowhere.pem"}, "kafka.tls_ca_file: nowhere.pem cannot be used (No such file"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "TLS_CA_FILE": ""}, "(it speaks TLS)"),
        ({"SASL_PASSWORD": ""}, "kafka.sasl_password is missing"),
        ({"SECURITY_PROTOCOL": "PLAINTEXT"}, "kafka.sasl_username is set, but kafka.security_protocol = PLAINTEXT"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_refusal_says_what_to_change(kafka: Secured, city: City, more: dict[str, str], wanted: str) -> None:
    if not (city.folder / "other").exists():
        authority(city.folder / "other")
    act(city, kafka, INTAKE, **{f"QUANYU__KAFKA__{key}": value for key, value in more.items()})
    done = city.run("--lang", "en", "topics", "check")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert wanted in line
    assert "not-the-password" not in line and kafka.passwords[INTAKE] not in line


def test_one_server_that_answers_is_enough(kafka: Secured, city: City) -> None:
    """What a server says against us counts only where none lets us in."""
    port = kafka.servers.rpartition(":")[2]
    act(city, kafka, INTAKE, QUANYU__KAFKA__SERVERS=f"127.0.0.1:1,{kafka.with_certificate},localhost:{port}")
    assert refused(load(environ=city.environment).kafka, CONNECT_S) is None
    act(city, kafka, INTAKE, QUANYU__KAFKA__SERVERS=f"127.0.0.1:1,{kafka.with_certificate}")
    said = refused(load(environ=city.environment).kafka, CONNECT_S)
    assert said is not None and "kafka.tls_cert_file where it asks for a certificate" in said.en


def test_each_role_works_with_its_own_rights_and_nothing_is_lost(kafka: Secured, city: City) -> None:
    intake = act(city, kafka, INTAKE).start("--stages", "intake")
    fold = act(city, kafka, CITY).start("--stages", "city")
    both = (intake, fold)
    for worker in both:
        worker.wait_ready()
        assert listening(worker.process.pid) == {("127.0.0.1", worker.port)}
        assert not any(password.encode() in arguments(worker.process.pid) for password in kafka.passwords.values())
    city.wait_stored(fold)
    assert all("quanyu_" in worker.get("/metrics")[1] and not secrets_in(worker, kafka) for worker in both)
    for worker in both:
        assert worker.stop() == 0, worker.said
        assert not secrets_in(worker, kafka)
    found = recount(city)
    stored_ids, refused = stored(
        city,
        "SELECT signal_id FROM {run}.signals FINAL",
        "SELECT topic, partition, offset, reason FROM {run}.rejected FINAL",
    )
    assert len(found.frame) > 10_000
    assert set(stored_ids.signal_id) == set(found.frame.id) and len(stored_ids) == len(found.frame)
    bad = {(row.topic, row.partition, row.offset): row.reason for row in refused.itertuples(index=False)}
    assert bad == found.bad and len(bad) > 10
    live = city.digest()
    act(city, kafka, CITY)
    shown = json.loads(city.ok("state", "show", "--json"))
    assert shown["newest"] and shown["snapshots"][-1]["next_offset"] == shown["log"]["end"] > 0
    rights = {check["id"]: check for check in json.loads(city.run("doctor", "--json").stdout)["checks"]}
    assert rights["kafka_rights"]["level"] == "warning" and rights["retention"]["level"] == "ok"
    assert rights["lag"]["level"] == "ok"
    city.ok("state", "rebuild")
    assert city.digest() == live
    act(city, kafka, INTAKE)
    assert f"READ topic {NAME}.log, READ topic {NAME}.state" in refusal(city, "state", "rebuild")
    assert f"WRITE topic {NAME}.raw.110" in refusal(city, "rejected", "redrive")
    act(city, kafka, PRODUCER)
    assert json.loads(city.ok("rejected", "redrive", "--json"))["letters"] > 10
    act(city, kafka, REPLAY)
    summary = json.loads(city.ok("replay", "run", "--kafka", "--json"))
    assert (summary["read"], summary["signals"]) == (found.read, len(found.frame))
    summary = json.loads(city.ok("replay", "run", "--kafka", "--log", "--json"))
    again = city.digest(summary["database"])
    assert again.pop("rejected") == "0:0000000000000000"  # refused before the log
    assert again == {table: live[table] for table in again}


def test_certificates_instead_of_passwords(kafka: Secured, city: City) -> None:
    """Mutual TLS: the user is the common name of the certificate."""
    shown = kafka.authority.vouch(TOPICS)
    city.settings.clear()
    city.settings["QUANYU__KAFKA__SERVERS"] = kafka.with_certificate
    city.settings["QUANYU__KAFKA__SECURITY_PROTOCOL"] = "SSL"
    city.settings["QUANYU__KAFKA__TLS_CA_FILE"] = str(kafka.authority.ca)
    done = city.run("--lang", "en", "topics", "check")
    assert done.returncode == 2 and "kafka.tls_cert_file where it asks for a certificate" in done.stderr
    city.settings["QUANYU__KAFKA__TLS_CERT_FILE"] = str(shown.cert)
    city.settings["QUANYU__KAFKA__TLS_KEY_FILE"] = str(shown.key)
    assert json.loads(city.ok("topics", "check", "--json"))["ok"]
    done = city.run("--lang", "en", "live")
    assert done.returncode == 2 and f"does not allow the certificate {shown.cert}" in done.stderr


def arguments(pid: int) -> bytes:
    """What `ps` shows of a process to everybody."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def listening(pid: int) -> set[tuple[str, int]]:
    """Addresses on which a process takes connections, as the kernel tells them."""
    mine = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in mine:
                host, port = local.split(":")
                address = ".".join(str(byte) for byte in reversed(bytes.fromhex(host))) if len(host) == 8 else host
                found.add((address, int(port, 16)))
    return found


def secrets_in(worker: Worker, kafka: Secured) -> list[str]:
    """Passwords that a worker has said, on its standard error or its endpoint."""
    told = worker.said + worker.get("/metrics")[1]
    return [user for user, password in kafka.passwords.items() if password in told]
