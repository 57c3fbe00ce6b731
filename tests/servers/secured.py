"""A real broker that asks who you are and lets nobody do what no ACL allows; the rights are those we ship.

Passwords (SCRAM) and certificates over TLS, on two ports. `docker/kafka/acls.sh` gives the rights, through Kafka's own
kafka-acls.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.servers.broker import HERE, SMALL, broker, free_port, java
from tests.servers.certificates import Authority, authority

ACLS = Path(__file__).parents[2] / "docker/kafka/acls.sh"
#: who may do what is in docker/kafka/acls.sh; `stranger` is in it nowhere
ROLES = ("quanyu-topics", "quanyu-intake", "quanyu-city", "quanyu-producer", "quanyu-replay")
MECHANISM = "SCRAM-SHA-512"


class Secured(Struct, frozen=True):
    """A running broker: `servers` takes passwords, `with_certificate` takes certificates."""

    servers: str
    with_certificate: str
    folder: Path
    authority: Authority
    passwords: dict[str, str]

    def settings(self, user: str, password: str | None = None) -> dict[str, str]:
        """What a command of this user is told."""
        return {
            "QUANYU__KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "QUANYU__KAFKA__SASL_USERNAME": user,
            "QUANYU__KAFKA__SASL_PASSWORD": self.passwords[user] if password is None else password,
            "QUANYU__KAFKA__TLS_CA_FILE": str(self.authority.ca),
        }

    def give_rights(self, told: Mapping[str, str]) -> None:
        """Run docker/kafka/acls.sh as the administrator; `told` are the variables that it reads."""
        config = self.folder / "admin.properties"
        config.write_text(
            "security.protocol=SASL_SSL\n"
            f"sasl.mechanism={MECHANISM}\n"
            "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
            f'username="admin" password="{self.passwords["admin"]}";\n'
            f"ssl.truststore.type=PEM\nssl.truststore.location={self.authority.ca}\n"
        )
        command = self.folder / "kafka-acls.sh"
        line = shlex.join([*java(SMALL, self.folder), "org.apache.kafka.tools.AclCommand"])
        command.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        command.chmod(0o755)
        environment = {**os.environ, "KAFKA_ACLS": str(command), **told}
        done = subprocess.run(
            ["sh", str(ACLS), self.servers, str(config)], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """Run one; its certificates and data are in `folder`."""
    made = authority(folder / "tls")
    ours = made.vouch("broker")
    (made.folder / "broker.keystore.pem").write_text(ours.key.read_text() + ours.cert.read_text())
    passwords = {user: f"Password-of-{user}-7f3a" for user in ("admin", *ROLES, "stranger")}
    tls = free_port()
    more = (HERE / "secured.properties.in").read_text(encoding="utf-8")
    more = more.replace("@TLS@", str(tls)).replace("@FOLDER@", str(made.folder))
    users = {user: (MECHANISM, password) for user, password in passwords.items()}
    with broker(folder=folder / "kafka", more=more, users=users) as servers:
        yield Secured(servers, f"127.0.0.1:{tls}", folder, made, passwords)
