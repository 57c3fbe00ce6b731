"""Why a broker turned us away. kafka-python only says that it could not connect: of a refusal that comes together with
the end of the connection it never reads the text.

So one connection is made by hand, as far as the broker's answer to our name: TCP, TLS, SASL. Used after a failure only.
The requests are Kafka's oldest versions of SaslHandshake (17) and SaslAuthenticate (36), which every broker answers.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable

from kafka.net.sasl import get_sasl_mechanism

from schemas import UsageError
from streams.kafka_security import SASL, bootstrap, not_authenticated, sasl_options, tls_context, who
from streams.settings import Kafka

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
#: longest answer that is read, bytes; more is not Kafka's
LONGEST = 1 << 20
#: first byte of a TLS record that tells of an error, and the version behind it
TLS_ALERT = b"\x15\x03"

Ask = Callable[[int, int, bytes], bytes]


def refused(kafka: Kafka, wait_s: float) -> UsageError | None:
    """The refusal of the first server that refuses; None if one lets us in, or none can be reached."""
    context = tls_context(kafka)
    found: UsageError | None = None
    for server in bootstrap(kafka.servers):
        host, _, port = server.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=wait_s) as plain:
                said = _try(plain, host.strip("[]"), context, kafka)
        except (OSError, ValueError):
            continue
        if said is None:
            return None
        found = found or said
    return found


def _try(plain: socket.socket, host: str, context: ssl.SSLContext | None, kafka: Kafka) -> UsageError | None:
    try:
        sock = context.wrap_socket(plain, server_hostname=host) if context else plain
        return _introduce(_asker(sock), kafka)
    except ssl.SSLCertVerificationError as error:
        return UsageError(
            f"Kafka at {kafka.servers} shows a certificate that is not to be trusted: {error.verify_message}; check "
            f"kafka.tls_ca_file (whom we trust) and that kafka.servers says the names that the certificate has",
            f"Kafka（{kafka.servers}）出示的证书不可信：{error.verify_message}；请检查 kafka.tls_ca_file（信任的 CA），"
            f"以及 kafka.servers 中的主机名是否与证书一致",
        )
    except ssl.SSLError as error:
        return _hung_up(kafka, error.reason or str(error))
    except EOFError as error:
        return _hung_up(kafka, str(error))


def _hung_up(kafka: Kafka, why: str) -> UsageError:
    """The port answers, and ends the talk before we have said anything but our name."""
    return UsageError(
        f"Kafka at {kafka.servers} ends the connection of {who(kafka)} ({why}): check that this port speaks "
        f"kafka.security_protocol = {kafka.security_protocol}, and kafka.tls_cert_file where it asks for a certificate",
        f"Kafka（{kafka.servers}）中断了 {who(kafka)} 的连接（{why}）：请检查该端口是否使用 "
        f"kafka.security_protocol = {kafka.security_protocol}；如要求客户端证书，请检查 kafka.tls_cert_file",
    )


def _introduce(ask: Ask, kafka: Kafka) -> UsageError | None:
    """Say who we are; what the broker has against it. Raises EOFError when it hangs up instead of answering."""
    if kafka.security_protocol not in SASL:
        ask(API_VERSIONS, 0, b"")
        return None
    answer = ask(SASL_HANDSHAKE, 1, _string(kafka.sasl_mechanism))
    if _int16(answer):
        return not_authenticated(kafka, f"it takes {', '.join(_strings(answer[2:]))}, not {kafka.sasl_mechanism}")
    mechanism = get_sasl_mechanism(kafka.sasl_mechanism)(host="", **sasl_options(kafka))
    while not mechanism.is_done():
        token = mechanism.auth_bytes()
        answer = ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        length = struct.unpack_from(">h", answer, 2)[0]
        text = answer[4 : 4 + max(length, 0)].decode(errors="replace")
        if _int16(answer):
            return not_authenticated(kafka, text or "authentication failed")
        mechanism.receive(answer[4 + max(length, 0) + 4 :])
    return None


def _asker(sock: socket.socket) -> Ask:
    """ask(api, version, body) -> the body of the answer."""

    def ask(api: int, version: int, body: bytes) -> bytes:
        request = struct.pack(">hhi", api, version, 0) + _string("quanyu") + body
        sock.sendall(struct.pack(">i", len(request)) + request)
        head = _exactly(sock, 4)
        length = struct.unpack(">i", head)[0]
        if head.startswith(TLS_ALERT) or not 4 <= length <= LONGEST:
            raise EOFError("it speaks TLS" if head.startswith(TLS_ALERT) else "it does not speak Kafka's protocol")
        return _exactly(sock, length)[4:]

    return ask


def _exactly(sock: socket.socket, wanted: int) -> bytes:
    data = b""
    while len(data) < wanted:
        try:
            part = sock.recv(wanted - len(data))
        except ConnectionResetError:
            part = b""
        if not part:
            raise EOFError("it hung up")
        data += part
    return data


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


def _strings(data: bytes) -> list[str]:
    """A Kafka array of strings."""
    count = struct.unpack_from(">i", data)[0]
    at, found = 4, []
    for _ in range(count):
        length = struct.unpack_from(">h", data, at)[0]
        found.append(data[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return found


def _int16(data: bytes) -> int:
    return int(struct.unpack_from(">h", data)[0])
