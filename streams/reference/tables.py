"""The page of ClickHouse's tables and views: what is there after the migrations, and what these say about it."""

from __future__ import annotations

import re

from sinks.clickhouse import Client, queries
from sinks.clickhouse.migrate import shipped
from streams.reference.structs import table

#: the comment above a table or view and its name; a view and what it reads; a table and what feeds or shapes it
_CREATED = re.compile(
    r"((?:^--.*\n)*)^CREATE (?:OR REPLACE )?(?:TABLE|VIEW)(?: IF NOT EXISTS)? \{database\}\.(\w+)", re.M
)
_FROM = re.compile(r"VIEW \{database\}\.(\w+) SQL.*?FROM \{database\}\.(\w+)", re.S)
_FED = re.compile(r"TO \{database\}\.(\w+) AS\s.*?FROM \{database\}\.(\w+)", re.S)


def tables(client: Client, database: str) -> str:
    """Every view and table of a freshly migrated `database`. A column says what the one it is copied from says."""
    sql = "".join(m.text for m in shipped())
    told = {name: " ".join(re.findall(r"-- (.*)", text)) for text, name in _CREATED.findall(sql)}
    origin = dict(reversed(_FROM.findall(sql) + _FED.findall(sql)))
    columns: dict[str, dict[str, tuple[str, str]]] = {}
    for name, column, type_, comment in client.rows(
        "SELECT table, name, type, comment FROM system.columns WHERE database = {db:String} ORDER BY table, position",
        {"db": database},
    ):
        columns.setdefault(name, {})[column] = (type_, comment)

    def says(name: str, column: str) -> str:
        own = columns[name].get(column, ("", ""))[1]
        above = origin.get(name, "")
        return own or (says(above, column) if above in columns and above != name else "")

    parts = [
        "# Tables and views\n\nRead the views (`v_*`): they keep their names and columns, and show each row once, in "
        "its newest version. The live system writes to the database `clickhouse.database`, the demo to `demo`, the run "
        "NAME to `run_NAME`, all with the same tables. Times are in the city's zone.\n"
    ]
    found = client.rows(
        "SELECT name, engine, sorting_key FROM system.tables WHERE database = {db:String} "
        "AND engine != 'MaterializedView' ORDER BY NOT startsWith(name, 'v_'), name",
        {"db": database},
    )
    for name, engine, key in found:
        above = f"From `{origin[name]}`." if name in origin else ""
        facts = [told.get(name, ""), above, f"Engine {engine}, key ({key})." if key else ""]
        head = "\n\n".join(filter(None, facts))
        rows = [(f"`{c}`", f"`{t}`", says(name, c)) for c, (t, _) in columns[name].items()]
        parts.append(f"## {name}\n\n{head}\n\n{table(('column', 'type', 'meaning'), rows)}")
    named = [(f"`{name}`", " ".join(re.findall(r"^-- (.*)", queries.load(name), re.M))) for name in queries.names()]
    about = "Ready-made queries for walls and dashboards, `sinks/clickhouse/queries/*.sql`; parameters are bound."
    return "\n".join([*parts, f"## Queries\n\n{about}\n\n{table(('NAME', 'gives'), named)}"])
