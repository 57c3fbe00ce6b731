"""Alert rules under promtool, and a real Prometheus and Alertmanager over real workers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.servers.deployment import City, wait
from tests.servers.monitoring import DOCKER, alertmanager, ask, prometheus, run, series
from tests.unit.test_docker import expressions, metric_labels, rules

pytestmark = pytest.mark.servers

NewCity = Callable[[str, dict[str, str]], City]
RULES = (DOCKER / "prometheus/alerts.yml").read_text(encoding="utf-8")
#: what any worker with both kinds of neighbours has after its first records
FILLED = {
    "quanyu_room_items_total",
    "quanyu_room_seconds_total",
    "quanyu_state_items",
    "quanyu_batch_items_bucket",
    "quanyu_watermark_lag_seconds",
    "quanyu_event_to_clickhouse_seconds_bucket",
    "quanyu_rejected_total",
}


def test_rules_and_configurations_are_sound(tmp_path: Path) -> None:
    for done in (
        run("promtool", "check", "rules", "prometheus/alerts.yml"),
        run("promtool", "check", "config", "--syntax-only", "prometheus/prometheus.yml"),
        run("amtool", "check-config", "alertmanager/alertmanager.yml"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should_and_not_otherwise() -> None:
    done = run("promtool", "test", "rules", "alerts.yml", cwd=DOCKER / "prometheus/tests")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in rules()])
def test_the_stories_notice_an_alert_that_never_fires(alert: str, tmp_path: Path) -> None:
    broken = yaml.safe_load(RULES)
    for group in broken["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] != alert]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(broken, allow_unicode=True), encoding="utf-8")
    (tmp_path / "tests").mkdir()
    story = (DOCKER / "prometheus/tests/alerts.yml").read_text(encoding="utf-8")
    (tmp_path / "tests/alerts.yml").write_text(story, encoding="utf-8")
    assert run("promtool", "test", "rules", "alerts.yml", cwd=tmp_path / "tests").returncode == 1


@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_alerts_go_to_the_receiver_of_their_severity(severity: str) -> None:
    done = run(
        "amtool", "config", "routes", "test", "--config.file=alertmanager/alertmanager.yml", f"severity={severity}"
    )
    assert (done.returncode, done.stdout.strip()) == (0, severity)


def test_prometheus_scrapes_workers_and_tells_alertmanager_of_one_that_is_gone(
    new_city: NewCity, tmp_path: Path
) -> None:
    """All names of rules and dashboards are there; a worker that is killed comes to the receiver `page`."""
    city = new_city("watched", {})
    city.prepare()
    city.simulate()
    intake, fold = city.start("--stages", "intake"), city.start("--stages", "city")
    intake.wait_ready()
    fold.wait_ready()
    city.wait_stored(fold)
    # as shipped, but nobody wants to wait two minutes here
    impatient = RULES.replace("for: 2m", "for: 0s")
    assert impatient != RULES
    with (
        alertmanager(tmp_path) as manager,
        prometheus(tmp_path, {"intake": intake.port, "city": fold.port}, manager, impatient) as port,
    ):
        wait("both are scraped", lambda: len(series(port, 'up{job="quanyu"} == 1')) == 2)
        stages = {found["stage"] for found in series(port, "up")}
        assert stages == {"intake", "city"} and {found["city"] for found in series(port, "up")} == {"示范市"}

        declared = {entry["metric"] for entry in ask(port, "/api/v1/targets/metadata")["data"]}
        named = {name for expression, _ in expressions() for name in re.findall(r"\bquanyu_\w+", expression)}
        bases = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in named}
        scraped = {re.sub(r"_total$", "", name) for name in declared}
        assert bases <= scraped, bases - scraped
        for name in sorted(FILLED):
            (labels, *_) = series(port, name)
            # an empty label is none to Prometheus
            assert metric_labels()[name] - set(labels) <= {"outcome"}, name
        for expression, _ in expressions():
            series(port, expression)
        judged = [rule for group in ask(port, "/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
        assert len(judged) == len(rules())
        wait("the rules are judged", lambda: _health(port) == {"ok"})

        fold.kill()
        wait("the worker is missed", lambda: "WorkerDown" in _told(manager))
        assert _told(manager)["WorkerDown"] == ("page", "city", f"127.0.0.1:{fold.port}")
    assert intake.stop() == 0


def _health(port: int) -> set[str]:
    return {rule["health"] for group in ask(port, "/api/v1/rules")["data"]["groups"] for rule in group["rules"]}


def _told(manager: int) -> dict[str, tuple[str, str, str]]:
    """Alert -> (receiver, stage, instance)."""
    return {
        alert["labels"]["alertname"]: (
            alert["receivers"][0]["name"],
            alert["labels"].get("stage", ""),
            alert["labels"].get("instance", ""),
        )
        for alert in ask(manager, "/api/v2/alerts")
    }
