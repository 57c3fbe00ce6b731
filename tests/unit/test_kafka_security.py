"""What the clients of Kafka are told, and that settings which do not fit together are refused before any connection."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from aiokafka.errors import TopicAuthorizationFailedError as TheirTopicError
from kafka.errors import GroupAuthorizationFailedError, KafkaTimeoutError, TopicAuthorizationFailedError

from schemas import UsageError
from streams.batches import batch_app, credentials
from streams.kafka_security import client_options, refusal, tls_context, who
from streams.settings import Kafka
from tests.servers.certificates import authority

SASL = Kafka(security_protocol="SASL_SSL", sasl_username="city", sasl_password="hush")


def test_without_security_nothing_is_added() -> None:
    assert client_options(Kafka(servers="a:1, b:2"), 3) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "bootstrap_timeout_ms": 3000,
        "security_protocol": "PLAINTEXT",
    }
    assert credentials(Kafka()) == {} and who(Kafka()) == "an unnamed user"


def test_every_client_gets_the_same_user_and_the_same_trust(tmp_path: Path) -> None:
    made = authority(tmp_path)
    kafka = Kafka(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-256",
        sasl_username="city",
        sasl_password="hush",
        tls_ca_file=str(made.ca),
    )
    options = client_options(kafka, 1)
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("city", "hush")
    assert (options["security_protocol"], options["sasl_mechanism"]) == ("SASL_SSL", "SCRAM-SHA-256")
    app = batch_app("group", "localhost:1", **credentials(kafka))
    faust = app.conf.broker_credentials
    assert (faust.username, faust.password, faust.mechanism.value) == ("city", "hush", "SCRAM-SHA-256")
    assert faust.protocol.value == "SASL_SSL"
    for context in (options["ssl_context"], faust.ssl_context):
        assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert [dict(x[0] for x in ca["subject"])["commonName"] for ca in context.get_ca_certs()] == ["Quanyu tests"]
    assert "hush" not in repr(kafka) + repr(faust)


def test_a_certificate_of_our_own_is_shown(tmp_path: Path) -> None:
    made = authority(tmp_path)
    ours = made.vouch("quanyu-city")
    kafka = Kafka(
        security_protocol="SSL", tls_ca_file=str(made.ca), tls_cert_file=str(ours.cert), tls_key_file=str(ours.key)
    )
    assert isinstance(tls_context(kafka), ssl.SSLContext)
    assert credentials(kafka)["broker_credentials"].protocol.value == "SSL"
    assert who(kafka) == f"the certificate {ours.cert}"


@pytest.mark.parametrize(
    ("kafka", "wanted"),
    [
        (Kafka(security_protocol="SASL_SSL"), "kafka.sasl_username is missing"),
        (Kafka(security_protocol="SASL_PLAINTEXT", sasl_username="u"), "kafka.sasl_password is missing"),
        (Kafka(sasl_username="u", sasl_password="hush"), "security_protocol = PLAINTEXT makes no use of it"),
        (Kafka(tls_ca_file="ca.pem"), "security_protocol = PLAINTEXT makes no use of it"),
        (Kafka(security_protocol="SSL", tls_key_file="k"), "kafka.tls_key_file is set, kafka.tls_cert_file is not"),
        (Kafka(security_protocol="SSL", tls_ca_file="none.pem"), "kafka.tls_ca_file: none.pem cannot be used (No such"),
        (Kafka(security_protocol="SSL", tls_cert_file="none.pem"), "kafka.tls_cert_file, kafka.tls_key_file: none.pem"),
    ],
)
def test_settings_that_do_not_fit_are_told(kafka: Kafka, wanted: str) -> None:
    for call in (lambda: client_options(kafka, 1), lambda: credentials(kafka)):
        with pytest.raises(UsageError) as caught:
            call()
        assert wanted in caught.value.en and "kafka." in caught.value.zh and caught.value.exit_code == 2
        assert "hush" not in caught.value.en + caught.value.zh


def test_a_key_with_a_passphrase_is_refused_without_asking(tmp_path: Path) -> None:
    made = authority(tmp_path)
    ours = made.vouch("city")
    locked = tmp_path / "locked.key"
    lock = ("openssl", "pkey", "-in", str(ours.key), "-aes256", "-passout", "pass:x", "-out", str(locked))
    subprocess.run(lock, check=True, capture_output=True)
    kafka = Kafka(security_protocol="SSL", tls_cert_file=str(ours.cert), tls_key_file=str(locked))
    with pytest.raises(UsageError, match="without a passphrase"):
        tls_context(kafka)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TopicAuthorizationFailedError({"raw.b", "raw.a"}), "topic raw.a, raw.b"),
        (TopicAuthorizationFailedError("raw.a"), "topic raw.a"),
        (TheirTopicError("raw.a"), "topic raw.a"),
        (GroupAuthorizationFailedError("whatever"), "group quanyu"),
    ],
)
def test_a_missing_right_names_the_user_and_the_thing(error: Exception, wanted: str) -> None:
    found = refusal(error, SASL, "reading")
    assert found is not None
    assert f"does not allow user city what was tried: reading; {wanted}." in found.en and wanted in found.zh


def test_an_outage_is_no_refusal() -> None:
    assert refusal(KafkaTimeoutError("no answer"), SASL, "reading") is None
    assert refusal(ConnectionRefusedError(111, "refused"), SASL, "reading") is None
