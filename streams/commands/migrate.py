"""`quanyu migrate`: the tables of the live database."""

from __future__ import annotations

import click

from schemas import QuanyuError
from sinks.clickhouse import connect, migrate, users
from streams import settings as configuration
from streams.commands.base import configured, fail, json_option, print_json, say


@click.command("migrate")
@configured
@click.option("--users-sql", is_flag=True, help="Print the users and their rights, change nothing. 输出用户权限 SQL。")
@json_option
def migrate_command(config: str | None, overrides: tuple[str, ...], users_sql: bool, as_json: bool) -> None:
    """Bring the ClickHouse database up to date. 建立或升级 ClickHouse 的表。

    \b
    quanyu migrate --set clickhouse.url=http://default@localhost:8123
    quanyu migrate --users-sql > users.sql
    """
    try:
        settings = configuration.load(config, overrides=overrides)
        target = settings.clickhouse
        if users_sql:
            text = users.sql(target.database)
            print_json({"database": target.database, "sql": text}) if as_json else click.echo(text, nl=False)
            return
        done = migrate(connect(target), target.database, settings.city.timezone, target.retention_days)
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json({"database": target.database, "applied": done})
    elif done:
        click.echo(say(f"applied: {', '.join(done)}", f"已执行：{'、'.join(done)}"))
    else:
        click.echo(say(f"database {target.database} is up to date", f"数据库 {target.database} 已是最新"))
