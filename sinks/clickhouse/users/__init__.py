"""The users of a ClickHouse server and their rights, as SQL for its administrator (one file a user or role).

A server is needed: chDB has neither users nor grants. Wildcards in grants need ClickHouse 24.10 or newer. No password
is ever in these statements: the administrator puts the SHA-256 of each in its place, and a server refuses what is none.
"""

from __future__ import annotations

from importlib import resources

from sinks.clickhouse.client import quote
from sinks.clickhouse.layout import Layout

FILES = ("migrator.sql", "writer.sql", "replayer.sql", "readonly_user.sql", "dead_letters.sql")
#: to be replaced by 64 hex digits
PLACEHOLDER = "SHA256_OF_ITS_PASSWORD"
HEAD = f"""-- Users of ClickHouse for Quanyu, to be run by an administrator. Put the SHA-256 of a long random password
-- in the place of each {PLACEHOLDER}: printf %s "$PASSWORD" | sha256sum
-- 由管理员执行；把每个 {PLACEHOLDER} 换成随机长密码的 SHA-256。
"""


def sql(database: str) -> str:
    """The statements of every user for `database`, in order, each ended by `;` at the end of a line."""
    folder = resources.files("sinks.clickhouse") / "users"
    text = "\n".join([HEAD, *((folder / name).read_text(encoding="utf-8") for name in FILES)])
    return text.replace("{database}", quote(database)).replace("{home}", quote(Layout(shard="any").home(database)))
