"""What went wrong in ClickHouse, split by who must act: an outage, the user, or us.

The driver raises one family of exceptions for all three; `translate` tells them apart by ClickHouse's error codes.
"""

from __future__ import annotations

import logging
import re

from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from schemas import Unreachable, UsageError

# The driver logs connection errors as well as raising them; without a handler Python would print them unasked.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

#: the server is busy, full, starting or cut off: the same statement may succeed later
OUTAGES = {
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    159: "TIMEOUT_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    225: "NO_ZOOKEEPER",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    254: "NO_ACTIVE_REPLICAS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    745: "SERVER_OVERLOADED",
    999: "KEEPER_EXCEPTION",
}
REFUSED = {
    164: "READONLY",
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
}
#: what the system says below ClickHouse, under several codes
FULL = "No space left on device"
NO_CLUSTER = 701
MISSING = {60: "UNKNOWN_TABLE", 81: "UNKNOWN_DATABASE"}


def translate(error: ClickHouseError, where: str) -> Exception:
    """The exception to raise for `error` of the server or directory `where`: ours if a user must act, else itself."""
    code, text = getattr(error, "code", None), _first_line(error)
    if "already initialized with path" in str(error):
        return UsageError(
            f"{where}: this process already has another chDB directory open, and it can have one only: {text}",
            f"{where}：本进程已打开另一个 chDB 目录，且只能打开一个：{text}",
        )
    if "Error initializing EmbeddedServer" in str(error):
        return UsageError(
            f"{where}: chDB cannot open this directory; the engine's own message stands above. Was it made by a newer "
            f"version, or is it another program's directory?",
            f"{where}：chDB 无法打开该目录，引擎的原始信息见上文。它是否由更新的版本创建，或是其他程序的目录？",
        )
    if code in REFUSED:
        return UsageError(
            f"{where} refuses the user ({REFUSED[code]}): check the user in clickhouse.url, "
            f"QUANYU__CLICKHOUSE__PASSWORD or clickhouse.password_file, and the user's grants: {text}",
            f"{where} 拒绝该用户（{REFUSED[code]}）：请检查 clickhouse.url 中的用户、"
            f"QUANYU__CLICKHOUSE__PASSWORD 或 clickhouse.password_file 以及用户权限：{text}",
        )
    if code in MISSING:
        return UsageError(
            f"{where} lacks a table or database ({MISSING[code]}): run `quanyu migrate`, or check "
            f"clickhouse.database: {text}",
            f"{where} 缺少表或数据库（{MISSING[code]}）：请运行 `quanyu migrate`，或检查 clickhouse.database：{text}",
        )
    if code == NO_CLUSTER:
        return UsageError(
            f"{where} knows no such cluster: check clickhouse.cluster and clickhouse.shard against its remote_servers: "
            f"{text}",
            f"{where} 没有该集群：请对照其 remote_servers 检查 clickhouse.cluster 与 clickhouse.shard：{text}",
        )
    if code in OUTAGES or FULL in str(error):
        name = OUTAGES.get(code or 0, FULL)
        return Unreachable(
            f"{where} cannot do it now ({name}): check its load, memory and disk: {text}",
            f"{where} 暂时无法处理（{name}）：请检查其负载、内存与磁盘：{text}",
            retry_after_s=5.0,
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UsageError(
            f"{where} shows a certificate that is not to be trusted: check clickhouse.ca_file (whom we trust) and that "
            f"clickhouse.url says the name that the certificate has: {text}",
            f"{where} 出示的证书不可信：请检查 clickhouse.ca_file（信任的 CA），"
            f"以及 clickhouse.url 的主机名是否与证书一致：{text}",
        )
    gateway = code is None and re.search(r"HTTP status(?: code)? 50[0234]", str(error))
    if gateway or (code is None and isinstance(error, OperationalError)):
        return Unreachable(
            f"cannot reach ClickHouse at {where}: check that it runs, clickhouse.url (host and HTTP port, mostly 8123) "
            f"and the network: {text}",
            f"无法连接 {where} 的 ClickHouse：请检查其是否运行、clickhouse.url（主机与 HTTP 端口，一般为 8123）"
            f"及网络：{text}",
        )
    return error


def taken(where: str) -> Unreachable:
    """The exception to raise if another process has the chDB directory `where` open."""
    return Unreachable(
        f"{where} is open in another process, and a chDB directory belongs to one process at a time. Stop that "
        f"process (quanyu live, demo, wall or replay), or name another directory in clickhouse.url",
        f"{where} 正被另一个进程打开；一个 chDB 目录同一时间只能属于一个进程。请停止该进程"
        f"（quanyu live、demo、wall 或 replay），或在 clickhouse.url 中换一个目录",
        retry_after_s=2.0,
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
