"""`docker/` against the code, statically: no container engine is needed, and nothing may be named that is not there."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from sinks.clickhouse import Client, migrate, users
from streams import metrics
from streams.cli import COMMANDS, main
from streams.kafka import wanted_topics
from streams.settings import Settings, load
from tests.clickhouse import ZONE, fresh_database

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if str(service["image"]).startswith("quanyu:")]
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((DOCKER / "grafana/dashboards").iterdir())
}
#: labels that Prometheus adds to what a worker says
SCRAPED = {"stage", "city"}
ALERTS: dict[str, Any] = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text(encoding="utf-8"))


def metric_labels() -> dict[str, set[str]]:
    """Every name a scrape gives, as streams/metrics.py declares them, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            name, labels = metric._name, set(metric._labelnames)
            if isinstance(metric, Counter):
                found[f"{name}_total"] = labels
            elif isinstance(metric, Histogram):
                found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
            else:
                found[name] = labels
    return found


def expressions() -> list[tuple[str, str]]:
    """(PromQL, text that shows its labels) of every alert and panel."""
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    found = [(rule["expr"], json.dumps(rule["annotations"])) for rule in rules]
    found += [(target["expr"], target.get("legendFormat", "")) for target in targets("prometheus")]
    return found


def targets(source: str) -> list[dict[str, Any]]:
    """What the panels of all dashboards ask a data source."""
    panels = [panel for board in DASHBOARDS.values() for panel in board["panels"]]
    return [t for panel in panels for t in panel["targets"] if t["datasource"]["uid"] == source]


def views() -> set[str]:
    """The documented views."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "sinks/clickhouse/migrations").glob("*.sql"))
    return set(re.findall(r"VIEW (?:IF NOT EXISTS )?\{database\}\.(v_\w+)", text))


@pytest.mark.parametrize("path", sorted(DOCKER.rglob("*.y*ml")), ids=lambda path: path.name)
def test_yaml_is_valid(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_images_are_pinned() -> None:
    for service in SERVICES.values():
        _, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d+\.\d+", tag), service["image"]
    stages = re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), re.M)
    assert len(set(stages)) == 1 and re.fullmatch(r"python:3\.11\.\d+-slim-\w+", stages[0])


def test_our_image_is_this_version_and_runs_without_root() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert version is not None
    assert {SERVICES[name]["image"] for name in OURS} == {f"quanyu:{version[1]}"}
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert "USER quanyu" in text and "--require-hashes" in text


def test_mounted_and_copied_paths_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], source
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), re.M)
    names = {name for line in copied for name in line.split()}
    assert all((ROOT / name).exists() for name in names), names
    allowed = re.findall(r"^!(\S+)", (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8"), re.M)
    assert set(allowed) == names


def test_every_package_of_the_wheel_is_copied() -> None:
    packages = re.search(r"^packages = (\[.+\])", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert packages is not None
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert all(f"COPY {name} {name}" in text for name in json.loads(packages[1]))


def test_every_variable_is_in_the_example_and_every_example_is_used() -> None:
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text(encoding="utf-8")))
    example = set(re.findall(r"^(\w+)=", (DOCKER / ".env.example").read_text(encoding="utf-8"), re.M))
    assert used == example
    users = set(re.findall(r'from_env="(\w+)"', (DOCKER / "clickhouse/users.xml").read_text(encoding="utf-8")))
    assert users <= set(SERVICES["clickhouse"]["environment"])


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_commands_with_settings_that_exist(name: str) -> None:
    service = SERVICES[name]
    settings = load(environ={key: str(value) for key, value in service["environment"].items()})
    assert settings.kafka.servers == SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].partition("//")[2]
    user = "migrator" if name == "migrate" else "quanyu"
    assert settings.clickhouse.url == f"http://{user}@clickhouse:8123"
    assert str(settings.metrics.port) in (DOCKER / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    command: click.Command | None = main
    words = list(service["command"])
    while words and not words[0].startswith("-"):
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, (name, sorted(COMMANDS))
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_services_wait_for_services_that_exist() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, (name, other)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
    scraped = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    names = {n for job in scraped["scrape_configs"] for found in job["dns_sd_configs"] for n in found["names"]}
    assert names == {name for name in OURS if SERVICES[name]["command"][0] == "live"}
    assert all(Path(file).name in {p.name for p in DOCKER.rglob("*")} for file in scraped["rule_files"])


def test_topics_are_made_by_the_command_from_the_settings() -> None:
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert SERVICES["topics"]["command"] == ["topics", "create"]
    wanted = {topic.name: topic.partitions for topic in wanted_topics(Settings())}
    assert wanted[Settings().kafka.log_topic] == 1
    assert {source.topic for source in Settings().sources.values()} <= set(wanted)
    written = "".join(p.read_text(encoding="utf-8") for p in DOCKER.rglob("*") if p.is_file())
    assert set(re.findall(r"\b(?:raw|signals)\.\w+", written)) <= set(wanted)


def test_the_wall_may_read_the_documented_views_and_nothing_else() -> None:
    users = ET.parse(DOCKER / "clickhouse/users.xml").getroot()
    grants = [query.text or "" for query in users.findall("users/wall/grants/query")]
    granted = {grant.removeprefix(f"GRANT SELECT ON {Settings().clickhouse.database}.") for grant in grants}
    assert granted == views()
    limits = {limit.tag: limit.text for limit in users.findall("profiles/wall/*")}
    assert limits["readonly"] == "2"
    for name in ("max_execution_time", "max_memory_usage", "max_result_rows", "max_result_bytes"):
        assert users.findtext(f"profiles/wall/constraints/{name}/max") == limits[name]
    assert users.find("users/default[@remove='remove']") is not None


def test_the_writer_and_the_migrator_have_the_rights_of_the_shipped_sql() -> None:
    shipped = " ".join(re.sub(r"^--.*\n", "", users.sql(Settings().clickhouse.database), flags=re.M).split())
    root = ET.parse(DOCKER / "clickhouse/users.xml").getroot()
    for user, ours in (("migrator", "quanyu_migrator"), ("quanyu", "quanyu_writer")):
        (grant,) = [query.text or "" for query in root.findall(f"users/{user}/grants/query")]
        assert f"{grant} TO {ours};" in shipped.replace("`", "")


@pytest.mark.parametrize("name", SERVICES)
def test_containers_have_no_rights_that_they_do_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"] and service["cap_drop"] == ["ALL"]
    assert not service.get("privileged") and "network_mode" not in service and "pid" not in service
    assert all("docker.sock" not in volume for volume in service.get("volumes", []))
    if name in OURS:
        assert service["read_only"] is True and service["tmpfs"] == ["/tmp"] and "cap_add" not in service
    for port in service.get("ports", []):
        assert str(port).startswith("127.0.0.1:"), "reached from this machine only, unless told otherwise"


def test_the_image_runs_as_a_user_who_owns_nothing_but_its_data() -> None:
    stages = (DOCKER / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    lines = [line for line in stages[-1].splitlines() if line and not line.startswith("#")]
    at = lines.index("USER quanyu")
    made = re.search(r"useradd --system --uid (\d+) .*--home-dir (\S+) quanyu", stages[-1])
    assert made is not None and int(made[1]) >= 10_000
    assert not [line for line in lines[at:] if line.split()[0] in ("RUN", "COPY", "ADD", "USER")][1:]
    assert not any("chown" in line or "chmod" in line for line in lines)
    assert f"VOLUME {made[2]}" in lines
    everything = (DOCKER / "Dockerfile").read_text(encoding="utf-8") + (DOCKER / "compose.yaml").read_text("utf-8")
    assert not re.search(r"(?i)(password|key|secret|token)\w*[=:]\s*['\"]?[A-Za-z0-9]", everything)


@pytest.mark.parametrize(("expression", "shown"), expressions())
def test_metrics_and_labels_exist(expression: str, shown: str) -> None:
    known = metric_labels()
    used = set(re.findall(r"\bquanyu_\w+", expression))
    assert used <= set(known), used - set(known)
    labels = {label for name in used for label in known[name]} | {"instance", "job"} | SCRAPED
    grouped = {word.strip() for words in re.findall(r"by \(([^)]*)\)", expression) for word in words.split(",")}
    matched = set(re.findall(r"[{,]\s*(\w+)=", expression))
    assert grouped | matched <= labels
    shown_labels = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", shown))
    shown_labels |= set(re.findall(r"\$labels\.(\w+)", shown))
    assert shown_labels <= (grouped or labels)


def test_the_dashboards_read_the_provisioned_sources() -> None:
    uids = set()
    for path in sorted((DOCKER / "grafana/provisioning/datasources").iterdir()):
        source = yaml.safe_load(path.read_text(encoding="utf-8"))
        uids |= {(entry["uid"], entry["type"]) for entry in source["datasources"]}
    (clickhouse,) = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/clickhouse.yaml").read_text())[
        "datasources"
    ]
    assert SERVICES["grafana"]["environment"]["GF_INSTALL_PLUGINS"] == clickhouse["type"]
    variable = re.fullmatch(r"\$__env\{(\w+)\}", clickhouse["secureJsonData"]["password"])
    assert variable is not None and variable[1] in SERVICES["grafana"]["environment"]
    assert clickhouse["jsonData"]["username"] == "wall"
    assert clickhouse["jsonData"]["defaultDatabase"] == Settings().clickhouse.database
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS)
    for board in DASHBOARDS.values():
        panels = board["panels"]
        for panel in panels:
            read = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert {(source["uid"], source["type"]) for source in read} <= uids
        assert len({panel["id"] for panel in panels}) == len(panels)
        spots = [(p["gridPos"]["x"], p["gridPos"]["y"], p["gridPos"]["w"]) for p in panels]
        assert len({spot[:2] for spot in spots}) == len(spots) and all(x + w <= 24 for x, _, w in spots)


def test_queries_of_the_dashboards_run_on_the_views(chdb: Client) -> None:
    """Each on the tables of this version, with Grafana's macros filled in; nothing but granted views is read."""
    database = fresh_database()
    migrate(chdb, database, ZONE)
    assert targets("clickhouse")
    for target in targets("clickhouse"):
        sql = target["rawSql"]
        assert set(re.findall(r"\b(?:FROM|JOIN) ([\w.]+)", sql)) <= {f"quanyu.{view}" for view in views()}
        filled = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 >= now() - 3600 AND \1 <= now()", sql)
        assert "$" not in filled
        assert chdb.rows(filled.replace("quanyu.", f"{database}.")) == []
        assert ("AS time" in sql) == (target["queryType"] == "timeseries")


def test_every_metric_of_an_alert_or_panel_is_worth_having() -> None:
    """No metric is declared that nobody looks at."""
    looked_at = {name for expression, _ in expressions() for name in re.findall(r"\bquanyu_\w+", expression)}
    bases = {metric._name for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)}
    unseen = {base for base in bases if not any(name.startswith(base) for name in looked_at)}
    assert unseen == set()


# -- alerts ------------------------------------------------------------------------------------------------------------


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def test_every_alert_has_its_place_in_the_runbook_and_the_other_way_round() -> None:
    """The annotation is the address of its heading; below it stand the four questions that somebody woken up has."""
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    parts = re.split(r"^## ", text, flags=re.M)[1:]
    headings = [part.splitlines()[0] for part in parts]
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert [rule["annotations"]["runbook"] for rule in rules()] == [f"docs/runbook.md#{anchor}" for anchor in anchors]
    assert [rule["alert"] for rule in rules()] == [heading.split()[0] for heading in headings]
    for heading, part in zip(headings, parts, strict=True):
        assert re.search(r"[\u4e00-\u9fff]", heading)
        questions = re.findall(r"^\*\*(.+?)\*\*", part, flags=re.M)
        assert questions == ["What it means 含义.", "Look at 查看.", "Do 处理.", "Over when 解除."], heading


def test_commands_of_the_runbook_exist() -> None:
    for page in ("runbook", "operations"):
        for line in re.findall(r"`(quanyu [^`|]+)", (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")):
            command: click.Command | None = main
            words = line.split()[1:]
            while words and isinstance(command, click.Group):
                command = command.get_command(click.Context(command), words.pop(0))
                assert command is not None, line
            assert command is not None
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options, line


def test_every_alert_is_told_to_somebody_and_tested() -> None:
    manager = yaml.safe_load((DOCKER / "alertmanager/alertmanager.yml").read_text(encoding="utf-8"))
    routed = {receiver["name"] for receiver in manager["receivers"]}
    assert {rule["labels"]["severity"] for rule in rules()} == routed
    names = {rule["alert"] for rule in rules()}
    matchers = [
        m for rule in manager["inhibit_rules"] for side in ("source", "target") for m in rule[f"{side}_matchers"]
    ]
    named = {name for m in matchers for name in re.findall(r"[A-Z]\w+", m.partition("stage=")[0])}
    assert named and named <= names
    story = (DOCKER / "prometheus/tests/alerts.yml").read_text(encoding="utf-8")
    fired = set(re.findall(r'ALERTS\{alertname="(\w+)",alertstate="firing"', story)) | set(
        re.findall(r"alertname: (\w+)", story)
    )
    assert fired == names
    scraped = yaml.safe_load((DOCKER / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (place,) = scraped["alerting"]["alertmanagers"]
    assert place["dns_sd_configs"][0]["names"] == ["alertmanager"] and "alertmanager" in SERVICES
    assert {config["target_label"] for job in scraped["scrape_configs"] for config in job["relabel_configs"]} == SCRAPED
