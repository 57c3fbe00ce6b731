"""How Kafka is spoken to: the one place that turns `[kafka]` into what the clients want, and refusals into words.

Three kinds of clients are configured from here: kafka-python (`client_options`), Faust (`streams.batches.credentials`)
and the look at why a connection failed (`streams.kafka_probe`).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

from schemas import UsageError
from streams.settings import Kafka, Settings

SASL = ("SASL_PLAINTEXT", "SASL_SSL")
TLS = ("SSL", "SASL_SSL")
#: Kafka's error codes for who may not; kafka-python and aiokafka both have them as `errno`
TOPIC, GROUP, CLUSTER, TRANSACTION = 29, 30, 31, 53
NOT_AUTHENTICATED = 58
ACLS = "docker/kafka/acls.sh"


def bootstrap(servers: str) -> list[str]:
    """ "a:1, b:2" as the client wants it; UsageError when empty."""
    found = [server.strip() for server in servers.split(",") if server.strip()]
    if not found:
        raise UsageError(
            "kafka.servers is empty: want host:port[,host:port]", "kafka.servers 为空：应为 主机:端口[,主机:端口]"
        )
    return found


def client_options(kafka: Kafka, wait_s: float) -> dict[str, Any]:
    """kafka-python's options: where, how long to try, and as whom. Raises UsageError for settings that do not fit."""
    context = tls_context(kafka)
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap(kafka.servers),
        "bootstrap_timeout_ms": int(wait_s * 1000),
        "security_protocol": kafka.security_protocol,
    }
    if context is not None:
        options["ssl_context"] = context
    if kafka.security_protocol in SASL:
        options |= sasl_options(kafka)
    return options


def sasl_options(kafka: Kafka) -> dict[str, str]:
    """Mechanism, user and password, as kafka-python and aiokafka name them."""
    return {
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": kafka.sasl_password,
    }


def tls_context(kafka: Kafka) -> ssl.SSLContext | None:
    """Whom to trust and what to show; None without TLS. Names of servers are always checked.

    Raises UsageError for files that cannot be used, and for settings that do not fit together: none is passed over in
    silence, lest a password be thought protected that is not.
    """
    _check(kafka)
    if kafka.security_protocol not in TLS:
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.tls_ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("kafka.tls_ca_file", kafka.tls_ca_file, error) from error
    if kafka.tls_cert_file:
        try:
            # an empty passphrase, or OpenSSL would ask for one
            context.load_cert_chain(kafka.tls_cert_file, kafka.tls_key_file or None, password="")
        except (OSError, ssl.SSLError) as error:
            files = " + ".join(filter(None, (kafka.tls_cert_file, kafka.tls_key_file)))
            raise _unusable("kafka.tls_cert_file, kafka.tls_key_file", files, error) from error
    return context


def _check(kafka: Kafka) -> None:
    protocol = kafka.security_protocol
    if protocol in SASL:
        for key in ("sasl_username", "sasl_password"):
            if not getattr(kafka, key):
                variable = f"QUANYU__KAFKA__{key}".upper()
                raise UsageError(
                    f"kafka.{key} is missing, and kafka.security_protocol = {protocol} needs it: set {variable}",
                    f"缺少 kafka.{key}，kafka.security_protocol = {protocol} 需要它：请设置 {variable}",
                )
    elif kafka.sasl_username or kafka.sasl_password:
        raise _idle("kafka.sasl_username", protocol, "SASL_SSL")
    tls = (kafka.tls_ca_file, kafka.tls_cert_file, kafka.tls_key_file)
    if protocol not in TLS and any(tls):
        raise _idle("kafka.tls_*_file", protocol, "SSL or SASL_SSL", "SSL 或 SASL_SSL")
    if kafka.tls_key_file and not kafka.tls_cert_file:
        raise UsageError(
            "kafka.tls_key_file is set, kafka.tls_cert_file is not: give the certificate of this key",
            "设置了 kafka.tls_key_file 但没有 kafka.tls_cert_file：请给出与该密钥对应的证书",
        )


def _idle(key: str, protocol: str, wanted: str, zh_wanted: str = "") -> UsageError:
    return UsageError(
        f"{key} is set, but kafka.security_protocol = {protocol} makes no use of it: set {wanted}",
        f"设置了 {key}，但 kafka.security_protocol = {protocol} 不会使用它：请设为 {zh_wanted or wanted}",
    )


def _unusable(key: str, file: str, error: Exception) -> UsageError:
    why = getattr(error, "strerror", None) or str(error) or "a passphrase on the key?"
    return UsageError(
        f"{key}: {file} cannot be used ({why}); want PEM files, the key without a passphrase",
        f"{key}：无法使用 {file}（{why}）；应为 PEM 文件，密钥不设口令",
    )


def needs(settings: Settings, stages: Iterable[str]) -> list[tuple[str, str]]:
    """What a live worker of these stages does with which topic: ("READ" or "WRITE", topic).

    docker/kafka/acls.sh gives the same rights.
    """
    kafka, found = settings.kafka, []
    if "intake" in stages:
        found += [("READ", source.topic) for source in settings.sources.values() if source.topic]
        found += [("READ", kafka.watermark_topic), ("WRITE", kafka.log_topic)]
        found += [("WRITE", kafka.rejected_topic)] if kafka.rejected_topic else []
    if "city" in stages:
        found += [("READ", kafka.log_topic), ("WRITE", kafka.late_topic), ("WRITE", kafka.watermark_topic)]
        found += state_needs(kafka)
    return found


def state_needs(kafka: Kafka) -> list[tuple[str, str]]:
    """What whoever saves the city's state does with its topic."""
    return [("READ", kafka.state_topic), ("WRITE", kafka.state_topic)]


def who(kafka: Kafka) -> str:
    """Whom the brokers take us for, for people."""
    if kafka.security_protocol in SASL:
        return f"user {kafka.sasl_username}"
    return f"the certificate {kafka.tls_cert_file}" if kafka.tls_cert_file else "an unnamed user"


def refusal(error: BaseException, kafka: Kafka, tried: str) -> UsageError | None:
    """What an administrator must do about an error of a Kafka client; None for an error of another kind."""
    code = getattr(error, "errno", None)
    if code in (TOPIC, GROUP, CLUSTER, TRANSACTION):
        kind = {TOPIC: "topic", GROUP: "group", CLUSTER: "the cluster", TRANSACTION: "transaction"}[code]
        names = [kafka.group] if code == GROUP else _names(error)
        return not_allowed(kafka, tried, " ".join([kind, *([] if code == CLUSTER else [", ".join(names)])]))
    if code == NOT_AUTHENTICATED or type(error).__name__ == "AuthenticationFailedError":
        return not_authenticated(kafka, str(error))
    return None


def not_allowed(kafka: Kafka, tried: str, what: str) -> UsageError:
    """A right is missing."""
    me = who(kafka)
    return UsageError(
        f"Kafka at {kafka.servers} does not allow {me} what was tried: {tried}; {what}. Ask the administrator of Kafka "
        f"for the rights of this role ({ACLS} lists them), or check kafka.sasl_username",
        f"Kafka（{kafka.servers}）不允许 {me} 进行此操作：{tried}；{what}。请向 Kafka 管理员申请该角色的权限"
        f"（见 {ACLS}），或检查 kafka.sasl_username",
    )


def not_authenticated(kafka: Kafka, why: str) -> UsageError:
    """The brokers do not believe who we say we are."""
    me = who(kafka)
    return UsageError(
        f"Kafka at {kafka.servers} refuses {me}: {why}; check kafka.sasl_username, QUANYU__KAFKA__SASL_PASSWORD or "
        f"kafka.sasl_password_file, and kafka.sasl_mechanism = {kafka.sasl_mechanism}",
        f"Kafka（{kafka.servers}）拒绝 {me}：{why}；请检查 kafka.sasl_username、QUANYU__KAFKA__SASL_PASSWORD 或 "
        f"kafka.sasl_password_file，以及 kafka.sasl_mechanism = {kafka.sasl_mechanism}",
    )


def _names(error: BaseException) -> list[str]:
    """The topics that an error is about: clients give a name, or a set of names."""
    found: set[str] = set()
    for arg in error.args:
        if isinstance(arg, str):
            found.add(arg)
        elif isinstance(arg, Iterable):
            found.update(map(str, arg))
    return sorted(found)
