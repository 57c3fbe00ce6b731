"""Where the tables of a database stand: on one node, on a replicated cluster, or on one shard of several.

There is one text of the schema (`migrations/`), for one node; the other forms are made from it, statement by statement:

* one node: as it is written;
* `cluster`: each table replicated over the nodes of the cluster, which is one shard, under its own name;
* `cluster` and `shard`: the cluster has several shards, and all rows of this database live on one of them, the cluster
  `shard`. They are replicated there in the database NAME_local, and every node of `cluster` has NAME: Distributed
  tables before tables and views alike, so that any node takes what is written and answers what is asked.

A database never spreads over shards: newest versions are chosen and tombstones work inside a shard, and which shard
it is is a name and no hash, so a shard that is added moves nothing. Copying views stay beside their tables.
"""

from __future__ import annotations

import re

from msgspec import Struct

#: of every connection to a cluster. Rows count as stored when the replica of the shard has them, not when a node has
#: put them into its queue; a batch that is written again must reach the copying views too; who has written reads there.
SETTINGS = {
    "distributed_foreground_insert": 1,
    "insert_deduplicate": 0,
    "load_balancing": "in_order",
    "distributed_ddl_task_timeout": 60,
}
#: one a table of a shard; the macros are the server's own
REPLICA = "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'"
_CREATE = r"CREATE (?:OR REPLACE )?(?P<kind>TABLE|VIEW|MATERIALIZED VIEW)(?: IF NOT EXISTS)?"
_CHANGE = r"(?P<change>ALTER|DROP) (?:TABLE|VIEW)(?: IF EXISTS)?"
_HEAD = re.compile(rf"(?:{_CREATE}|{_CHANGE}) (?P<database>`[^`]+`)\.(?P<name>\w+)")
_ENGINE = re.compile(r"\bENGINE = (\w*)MergeTree(?:\(([^()]*)\))?")


class Layout(Struct, frozen=True):
    """Names of clusters in the servers' `remote_servers`; both empty: one node. `shard` is empty or has `cluster`."""

    cluster: str = ""
    shard: str = ""

    def home(self, database: str) -> str:
        """The database that holds the rows of `database`."""
        return f"{database}_local" if self.shard else database

    def databases(self, database: str) -> list[str]:
        """Statements that make the database, and its home if that is another."""
        made = [f"CREATE DATABASE IF NOT EXISTS `{database}`{_on(self.cluster)} ENGINE = Atomic"]
        if self.shard:
            made.append(f"CREATE DATABASE IF NOT EXISTS `{self.home(database)}`{_on(self.shard)} ENGINE = Atomic")
        return made

    def drop(self, database: str) -> list[str]:
        """Statements that remove the database and its home."""
        gone = [f"DROP DATABASE IF EXISTS `{database}`{_on(self.cluster)} SYNC"]
        if self.shard:
            gone.append(f"DROP DATABASE IF EXISTS `{self.home(database)}`{_on(self.shard)} SYNC")
        return gone

    def arranged(self, statement: str, database: str) -> list[str]:
        """A statement about one table or view of `database` (a name without special characters), as it runs here.

        Raises ValueError for a kind of statement that migrations do not use yet.
        """
        if not self.cluster or statement.startswith("INSERT INTO "):
            return [statement]
        head = _HEAD.match(statement)
        if head is None or head["database"] != f"`{database}`":
            raise ValueError(f"no cluster form is known of: {statement[:80]}")
        where = _on(self.shard or self.cluster)
        local = statement[: head.end()] + where + statement[head.end() :]
        if head["kind"] == "TABLE":
            local = _ENGINE.sub(_replicated, local)
        if not self.shard:
            return [local]
        local = local.replace(f"`{database}`.", f"`{self.home(database)}`.")
        front = f"`{database}`.{head['name']}{_on(self.cluster)}"
        if head["kind"] == "MATERIALIZED VIEW":
            return [local]
        if head["change"] == "DROP":
            # of a copying view there is none
            return [f"DROP TABLE IF EXISTS {front}", local]
        engine = f"Distributed('{self.shard}', '{self.home(database)}', '{head['name']}')"
        return [local, f"CREATE OR REPLACE TABLE {front} ENGINE = {engine}"]

    def system(self, table: str) -> str:
        """A table of `system`, as a node that has the rows sees it."""
        return f"cluster('{self.shard or self.cluster}', system.{table})" if self.cluster else f"system.{table}"


def _on(cluster: str) -> str:
    return f" ON CLUSTER '{cluster}'" if cluster else ""


def _replicated(engine: re.Match[str]) -> str:
    kind, arguments = engine.groups()
    return f"ENGINE = Replicated{kind}MergeTree({REPLICA}{f', {arguments}' if arguments else ''})"
