"""Users for chDB behind HTTP, which has none: who may do what, as the statements that we ship say it.

Reads `quanyu migrate --users-sql` (CREATE USER with a SHA-256, GRANT, CREATE SETTINGS PROFILE), and holds every
statement against it: its kind, and each table that the engine's own parser finds in it. A view's inner tables are read
with the definer's rights, so they are not looked at. No server's access control: no columns, quotas or row policies, a
role is on from the moment it is given, and settings inside a statement are not held against a profile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase

from msgspec import Struct, field

#: ClickHouse's codes
WRONG_PASSWORD, DENIED, CONSTRAINT = 516, 497, 452
CREATE = {"DATABASE": "CREATE DATABASE", "TABLE": "CREATE TABLE", "VIEW": "CREATE VIEW"}
DROP = {"DATABASE": "DROP DATABASE", "TABLE": "DROP TABLE", "VIEW": "DROP VIEW"}
_WHAT = r"(?:IF (?:NOT )?EXISTS\s+)?((?:`[^`]+`|\w+)(?:\.(?:`[^`]+`|\w+))?)"
_MAKE = re.compile(rf"\s*(CREATE|DROP)\s+(?:OR REPLACE\s+)?(?:MATERIALIZED\s+)?(DATABASE|TABLE|VIEW)\s+{_WHAT}", re.I)
_CHANGE = re.compile(rf"\s*(ALTER|TRUNCATE|OPTIMIZE)\s+TABLE\s+{_WHAT}(\s+DELETE\b)?", re.I)
_INSERT = re.compile(rf"\s*INSERT\s+INTO\s+(?:TABLE\s+)?{_WHAT}", re.I)
_READ = re.compile(r"\s*(?:--[^\n]*\n\s*)*(SELECT|WITH|DESCRIBE|DESC|SHOW|EXISTS|EXPLAIN|USE|SET)\b", re.I)


class Denied(Exception):
    """A refusal with ClickHouse's code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}")
        self.code = code


class User(Struct):
    """One user; `grants` are (privilege, pattern of database.table)."""

    name: str
    sha256: str
    profile: str = ""
    grants: list[tuple[str, str]] = field(default_factory=list)

    def may(self, privilege: str, target: str) -> bool:
        """Whether a grant covers it. A database stands for itself and all that is in it."""
        return any(
            privilege == granted and fnmatchcase(target if "." in target else f"{target}.", pattern)
            for granted, pattern in self.grants
        )


class Users:
    """All of them. `ast(statement)` gives the engine's EXPLAIN AST of it."""

    def __init__(self, sql: str) -> None:
        self.users: dict[str, User] = {}
        self.limits: dict[str, dict[str, int]] = {}
        for statement in re.split(r";\s*$", re.sub(r"^--.*\n", "", sql, flags=re.M), flags=re.M):
            self._read(" ".join(statement.split()))

    def _read(self, text: str) -> None:
        if found := re.match(r"CREATE USER IF NOT EXISTS (\w+) IDENTIFIED WITH sha256_hash BY '([0-9a-f]{64})'", text):
            profile = re.search(r"SETTINGS PROFILE (\w+)", text)
            self.users[found[1]] = User(found[1], found[2], profile[1] if profile else "")
        elif found := re.match(r"CREATE SETTINGS PROFILE IF NOT EXISTS (\w+) SETTINGS (.+)", text):
            self.limits[found[1]] = {k: int(v) for k, v in re.findall(r"(max_\w+) = (\d+)", found[2])}
        elif found := re.match(r"CREATE ROLE IF NOT EXISTS (\w+)", text):
            self.users[found[1]] = User(found[1], "no password of a role")
        elif found := re.match(r"GRANT (\w+) TO (\w+)$", text):
            self.users[found[2]].grants += self.users[found[1]].grants
        elif found := re.match(r"GRANT (.+) ON (\S+) TO (\w+)$", text):
            pattern = found[2].replace("`", "")
            self.users[found[3]].grants += [(privilege, pattern) for privilege in found[1].split(", ")]

    def known(self, name: str, password: str) -> User:
        """The user of this name and password."""
        user = self.users.get(name)
        if user is None or hashlib.sha256(password.encode()).hexdigest() != user.sha256:
            raise Denied(WRONG_PASSWORD, f"{name}: Authentication failed. (AUTHENTICATION_FAILED)")
        return user

    def settings(self, user: User, asked: Mapping[str, str]) -> dict[str, str]:
        """The settings of a request under the user's profile: more than its limit is refused."""
        limits = self.limits.get(user.profile, {})
        for name, limit in limits.items():
            if name in asked and not 0 < int(asked[name]) <= limit:
                raise Denied(
                    CONSTRAINT, f"Setting {name} shouldn't be greater than {limit}. (SETTING_CONSTRAINT_VIOLATION)"
                )
        return {name: str(limit) for name, limit in limits.items()} | dict(asked)

    def allow(self, user: User, statement: str, database: str, ast: Callable[[str], str]) -> None:
        """Raise Denied unless the user's grants cover the statement."""
        for privilege, target in _needs(statement, database, ast):
            if not user.may(privilege, target):
                text = f"Not enough privileges. To execute this query, it's necessary to have the grant {privilege} ON"
                raise Denied(DENIED, f"{user.name}: {text} {target}. (ACCESS_DENIED)")


def _needs(statement: str, database: str, ast: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    def full(name: str) -> str:
        name = name.replace("`", "")
        return name if "." in name else f"{database}.{name}"

    if found := _INSERT.match(statement):
        yield "INSERT", full(found[1])
        select = re.search(r"\bSELECT\b", statement, re.I)
        if not select:
            return
    elif found := _MAKE.match(statement):
        verb, kind = found[1].upper(), found[2].upper()
        name = found[3].replace("`", "") if kind == "DATABASE" else full(found[3])
        yield (CREATE if verb == "CREATE" else DROP)[kind], name
        if verb == "CREATE" and re.match(r"\s*CREATE\s+OR\s+REPLACE", statement, re.I):
            yield DROP[kind], name
        if kind != "VIEW" or verb == "DROP":
            return
    elif found := _CHANGE.match(statement):
        verb = found[1].upper()
        yield ("ALTER DELETE" if found[3] else "ALTER TABLE") if verb == "ALTER" else verb, full(found[2])
        return
    elif not _READ.match(statement):
        yield statement.split()[0].upper(), "*.*"
    if not re.match(r"\s*(SET|USE|SHOW|EXISTS|DESC|DESCRIBE|EXPLAIN)\b", statement, re.I):
        yield from _reads(ast(statement), full)


def _reads(tree: str, full: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """What the parser found to be read: tables, and functions that stand where tables do."""
    for name in re.findall(r"TableIdentifier (\S+)", tree):
        if not full(name).startswith("system."):
            yield "SELECT", full(name)
    for name in re.findall(r"TableExpression .*\n\s+Function (\w+)", tree):
        yield "TABLE FUNCTION", name
