"""`quanyu migrate`: the tables of the live database."""

from __future__ import annotations

import click

from schemas import QuanyuError, UsageError
from sinks.clickhouse import Layout, connect, migrate, pending, script, users
from sinks.clickhouse.migrate import shipped
from streams import settings as configuration
from streams.commands.base import configured, fail, json_option, nothing_at, print_json, say


@click.command("migrate")
@click.option("--sql", "show", is_flag=True, help="Print what would run, run nothing. 只打印语句，不执行。")
@click.option(
    "--all", "everything", is_flag=True, help="With --sql: for an empty database. 与 --sql 合用：按空库打印。"
)
@configured
@click.option("--users-sql", is_flag=True, help="Print the users and their rights, change nothing. 输出用户权限 SQL。")
@json_option
def migrate_command(
    show: bool, everything: bool, config: str | None, overrides: tuple[str, ...], users_sql: bool, as_json: bool
) -> None:
    """Bring the ClickHouse database up to date. 建立或升级 ClickHouse 的表。

    \b
    quanyu migrate --set clickhouse.url=http://default@localhost:8123
    quanyu migrate --sql --all --set clickhouse.cluster=province
    quanyu migrate --users-sql > users.sql
    """
    try:
        settings = configuration.load(config, overrides=overrides)
        if show or everything:
            if not show or as_json:
                raise UsageError(
                    "--all goes with --sql, and neither with --json", "--all 须与 --sql 合用，且不与 --json 合用"
                )
            click.echo(_planned(settings, everything), nl=False)
            return
        target = settings.clickhouse
        if users_sql:
            text = users.sql(target.database)
            print_json({"database": target.database, "sql": text}) if as_json else click.echo(text, nl=False)
            return
        done = migrate(
            connect(target),
            target.database,
            settings.city.timezone,
            target.retention_days,
            rejected_days=target.rejected_retention_days,
        )
    except QuanyuError as error:
        fail(error)
    if as_json:
        print_json({"database": target.database, "applied": done})
    elif done:
        click.echo(say(f"applied: {', '.join(done)}", f"已执行：{'、'.join(done)}"))
    else:
        click.echo(say(f"database {target.database} is up to date", f"数据库 {target.database} 已是最新"))


def _planned(settings: configuration.Settings, everything: bool) -> str:
    """The statements to come; `everything`: of every migration, and no server is asked."""
    target = settings.clickhouse
    if everything or nothing_at(target):
        names = [migration.name for migration in shipped()]
    else:
        client = connect(target)
        names = pending(client, target.database)
        client.close()
    layout = Layout(target.cluster, target.shard)
    days, rejected_days = target.retention_days, target.rejected_retention_days
    return script(layout, target.database, settings.city.timezone, days, names, rejected_days)
