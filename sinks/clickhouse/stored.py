"""What is stored, as figures: rows by table, and hashes that tell whether two runs gave the same result."""

from __future__ import annotations

from sinks.base import TABLES
from sinks.clickhouse.client import Client, quote

#: said by a clock, or by how the rows were cut: never part of a digest
CLOCK_COLUMNS = ("ingested_at", "received_at", "stored_at")
#: rows that the digest of another table covers: which of several late versions `signals` shows is nobody's promise
CONDITIONS = {"signals": "version > 0"}


def counts(client: Client, database: str) -> dict[str, int]:
    """Rows by table, each key once."""
    sql = "SELECT count() FROM {database:Identifier}.{table:Identifier} FINAL"
    return {table: int(client.rows(sql, {"database": database, "table": table})[0][0]) for table in TABLES}


def digest(client: Client, database: str) -> dict[str, str]:
    """`rows:hash` by table: the sum of a 64-bit hash of each newest version, so that order does not matter."""
    columns: dict[str, list[str]] = {table: [] for table in TABLES}
    for table, name, type in client.rows(
        "SELECT table, name, type FROM system.columns WHERE database = {database:String} ORDER BY table, name",
        {"database": database},
    ):
        if table in columns and name not in CLOCK_COLUMNS:
            # A hash over a NULL is NULL, and sum() would leave that row out.
            nullable = str(type).startswith("Nullable")
            columns[table].append(f"isNull({quote(name)}), ifNull({quote(name)}, 0)" if nullable else quote(name))
    out = {}
    for table, names in columns.items():
        hashed = "SELECT count(), sum(sipHash64(" + ", ".join(names) + "))"
        source = " FROM {database:Identifier}.{table:Identifier} FINAL WHERE " + CONDITIONS.get(table, "1")
        count, total = client.rows(hashed + source, {"database": database, "table": table})[0]
        out[table] = f"{count}:{int(total):016x}"
    return out
