"""No secret is ever told: planted in every secret setting, looked for in every byte that comes out.

Commands run as processes of their own, so that a traceback, a library's log or a warning counts too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from schemas import UsageError
from streams.settings import Settings, load
from streams.settings_secrets import MASK, SECRETS, values
from tests.command_line import call, calls, write_mapping

PLANTED = {f"{section}.{key}": f'Pl4nted-{section}-"{key}"-地\\x' for section, key in SECRETS}
IN_URL = "Pl4nted-in-a-url"
#: every spelling of a planted secret has one of these
MARKS = ("Pl4nted", "UGw0bnRlZ")  # as it is; as base64
FORMS = ("environment", "file")

#: prints everything that a chDB directory holds: rows of every table of ours
DUMP = """
import sys
from sinks.clickhouse import connect
from tests.clickhouse import Where
client = connect(Where("chdb:" + sys.argv[1]))
names = "SELECT database, name FROM system.tables WHERE engine LIKE '%Tree%' AND database NOT LIKE 'system%'"
tables = client.rows(names)
assert len(tables) > 20, tables
for database, name in tables:
    sys.stdout.buffer.write(client.raw(f"SELECT * FROM `{database}`.`{name}`", "JSONEachRow"))
    print(database, name)
client.close()
"""
#: a bug in the middle of a command, with what a careless programmer would put into the message
CRASH = """
import sys
from streams import settings
from streams.commands import topics
def broken(found):
    raise RuntimeError(f"{found} {found.kafka!r} {found.clickhouse} {[found.intake]} {settings.masked(found)}")
topics.topic_states = broken
from streams.cli import main
sys.argv = ["quanyu", "topics", "check"]
main()
"""
#: at `debug` the clients tell what they were configured with and what they send
DEBUG = """
import structlog
from streams import kafka, logs, settings, settings_secrets
from schemas import QuanyuError
found = settings.load()
logs.configure("debug", settings_secrets.values(found))
for secret in settings_secrets.values(found):
    logs.get().info("careless " + secret, field=secret, nested={"repr": repr(secret)})
try:
    kafka.reachable(found.kafka, 0.5)
except QuanyuError as error:
    logs.get().error(error.en, exc_info=True)
"""


def planted(form: str, folder: Path) -> dict[str, str]:
    """The environment that holds the secrets, or names files that do."""
    told = {}
    for section, key in SECRETS:
        secret, name = PLANTED[f"{section}.{key}"], f"QUANYU__{section}__{key}".upper()
        if form == "file":
            path = folder / f"{section}-{key}"
            path.write_text(secret + "\n", encoding="utf-8")
            told[f"{name}_FILE"] = str(path)
        else:
            told[name] = secret
    return told


def run(
    command: Sequence[str | Path], here: Path, told: dict[str, str], code: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    """A process with nothing but these settings; nothing planted may come out of it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("QUANYU__")}
    environment = clean | {"LANG": "C.UTF-8", "PYTHONPATH": str(Path(__file__).parents[2])} | told
    done = subprocess.run(list(map(str, command)), cwd=here, env=environment, capture_output=True, timeout=120)
    for said in (done.stdout, done.stderr):
        for mark in MARKS:
            assert mark.encode() not in said, said.decode(errors="replace")
    if code is not None:
        assert done.returncode == code, done.stderr.decode()
    return done


def quanyu(*arguments: str | Path) -> list[str | Path]:
    return [Path(sys.executable).with_name("quanyu"), *arguments]


SASL = {"QUANYU__KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT", "QUANYU__KAFKA__SASL_USERNAME": "city"}
NOBODY = {"QUANYU__KAFKA__SERVERS": "127.0.0.1:1", "QUANYU__CLICKHOUSE__URL": "http://writer@127.0.0.1:1"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("command", "told", "code"),
    [
        (("config", "show"), {}, 0),
        (("config", "show", "--json"), {}, 0),
        (("config", "check", "--json"), {}, 0),
        (("doctor", "--json"), NOBODY | SASL, 4),
        (("migrate",), NOBODY, 4),
        (("migrate", "--users-sql"), NOBODY, 0),
        (("topics", "create"), NOBODY | {"QUANYU__KAFKA__SASL_USERNAME": "city"}, 2),
        (("live",), NOBODY | SASL | {"QUANYU__KAFKA__SASL_MECHANISM": "PLAIN", "QUANYU__LOG__LEVEL": "debug"}, 4),
        (("replay", "run", "--kafka"), NOBODY | SASL, 4),
        (("rejected", "list"), NOBODY, 4),
        (("migrate",), {"QUANYU__CLICKHOUSE__URL": f"http://writer:{IN_URL}@127.0.0.1:1"}, 2),
        (("migrate", "--set", f"clickhouse.url=ftp://writer:{IN_URL}@127.0.0.1:1"), {}, 2),
        (("live", "--set", f"kafka.sasl_password={IN_URL}"), {}, 2),
        (("live", "--set", f"intake.caller_key={IN_URL}"), {}, 2),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_no_command_tells_one(
    form: str, command: tuple[str, ...], told: dict[str, str], code: int, tmp_path: Path
) -> None:
    done = run(quanyu(*command), tmp_path, planted(form, tmp_path) | told, code)
    if command[:2] == ("config", "show"):
        assert done.stdout.count(MASK.encode()) == len(SECRETS)


@pytest.mark.parametrize("form", FORMS)
def test_neither_a_crash_nor_a_log_tells_one(form: str, tmp_path: Path) -> None:
    told = planted(form, tmp_path) | NOBODY
    crash = run([sys.executable, "-c", CRASH], tmp_path, told, 1)
    assert b"RuntimeError" in crash.stderr and MASK.encode() in crash.stderr
    debug = run([sys.executable, "-c", DEBUG], tmp_path, told | SASL | {"QUANYU__KAFKA__SASL_MECHANISM": "PLAIN"}, 0)
    assert debug.stderr.count(b"careless ***") == len(SECRETS) and b"sasl_plain_password" in debug.stderr


@pytest.mark.parametrize("form", FORMS)
def test_no_stored_row_holds_one(form: str, tmp_path: Path) -> None:
    """Rows of a run: its arguments and manifest, its signals, its refused records."""
    file = calls(tmp_path / "calls.csv", [call(n) for n in range(40)] + [call(41, at="no time")])
    told = planted(form, tmp_path)
    source = ("--file", file, "--source", "110", "--map", write_mapping(tmp_path / "map.toml"), "--db", "db")
    run(quanyu("replay", "run", *source, "--id", "one", "--json"), tmp_path, told, 0)
    run(quanyu("replay", "show", "one", "--db", "db"), tmp_path, told, 0)
    run(quanyu("rejected", "show", "--run", "one", "--db", "db"), tmp_path, told, 0)
    run([sys.executable, "-c", DUMP, tmp_path / "db"], tmp_path, told, 0)
    held = b"".join(path.read_bytes() for path in (tmp_path / "db").rglob("*") if path.is_file())
    assert all(mark.encode() not in held for mark in MARKS)


@pytest.mark.parametrize(("section", "key"), SECRETS)
def test_a_secret_in_a_file_or_an_option_is_refused_and_not_repeated(section: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "q.toml"
    file.write_text(f'[{section}]\n{key} = "{IN_URL}"\n', encoding="utf-8")
    for overrides, path in (((), file), ((f"{section}.{key}={IN_URL}",), None)):
        with pytest.raises(UsageError) as caught:
            load(path, {}, overrides)
        variable = f"QUANYU__{section}__{key}".upper()
        assert variable in caught.value.en and f"{section}.{key}_file" in caught.value.zh
        assert IN_URL not in caught.value.en + caught.value.zh


def test_a_password_in_a_url_is_refused_wherever_the_url_was_written(tmp_path: Path) -> None:
    url = f"https://writer:{IN_URL}@ch:8443"
    file = tmp_path / "q.toml"
    file.write_text(f'[clickhouse]\nurl = "{url}"\n', encoding="utf-8")
    for path, environ, overrides in (
        (file, {}, ()),
        (None, {"QUANYU__CLICKHOUSE__URL": url}, ()),
        (None, {}, (f"clickhouse.url={url}",)),
    ):
        with pytest.raises(UsageError, match="holds a password") as caught:
            load(path, environ, overrides)
        assert IN_URL not in caught.value.en + caught.value.zh
    assert load(None, {}, ("clickhouse.url=https://writer@ch:8443",)).clickhouse.url == "https://writer@ch:8443"


def test_every_setting_that_sounds_like_a_secret_is_one() -> None:
    """A new key has to be listed, or these tests would pass it by."""
    tree = Settings()
    words = ("password", "secret", "token", "caller_key", "credential")
    found = {
        (section, key)
        for section in tree.__struct_fields__
        for key in getattr(getattr(tree, section), "__struct_fields__", ())
        if any(word in key for word in words) and not key.endswith("_file")
    }
    assert found == set(SECRETS)
    for section, key in SECRETS:
        assert hasattr(getattr(tree, section), f"{key}_file")
        assert MASK in repr(load(None, {f"QUANYU__{section}__{key}".upper(): "x"}))


def test_what_is_configured_arrives_whole(tmp_path: Path) -> None:
    for form in FORMS:
        assert sorted(values(load(None, planted(form, tmp_path)))) == sorted(PLANTED.values())
