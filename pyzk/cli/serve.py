"""`pyzk serve`: run a server.

Shell. The options are keys of `zoo.cfg` under another spelling and win over the file.
ZooKeeper: zkServer.sh start-foreground, and the positional form of ZooKeeperServerMain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import click
from click.core import ParameterSource

from pyzk.cli.number import Number
from pyzk.cli.sources import fail, load, load_properties, property_options, read_config
from pyzk.config.server import Property, ServerConfig
from pyzk.runtime import logs, parent
from pyzk.runtime import main as runtime
from pyzk.runtime.loop import LOOPS

_OPTIONS: Final = {
    "port": "clientPort",
    "host": "clientPortAddress",
    "data_dir": "dataDir",
    "data_log_dir": "dataLogDir",
    "tick_time": "tickTime",
    "max_client_cnxns": "maxClientCnxns",
    "whitelist": "4lw.commands.whitelist",
    "config_in_data_dir": "pyzk.configInDataDir",
    "no_fsync": "forceSync",
    "admin_port": "admin.serverPort",
    "admin_host": "admin.serverAddress",
    "no_admin": "admin.enableServer",
}

_POSITIONS: Final = (
    Property("clientPort", "", "port"),
    Property("dataDir", "", "datadir"),
    Property("tickTime", "", "ticktime"),
    Property("maxClientCnxns", "", "maxcnxns"),
)

_NOT_EPHEMERAL: Final = {
    "words": "ZOO_CFG; give -D and options instead",
    "data_dir": "--data-dir; in memory there is none",
    "data_log_dir": "--data-log-dir; in memory there is none",
    "initialize": "--initialize; in memory every server is new",
    "config_in_data_dir": "--config-in-data-dir; in memory there is none",
    "log_file": "--log-file; its lines are on standard error",
    "audit_log": "--audit-log; its audit log is a logger, pyzk.audit",
    "no_fsync": "--no-fsync; in memory there is nothing to sync",
    "loop": "--loop",
}
_ONLY_EPHEMERAL: Final = {"control_port": "--control-port", "virtual_clock": "--virtual-clock"}


def _words(words: tuple[str, ...]) -> tuple[str | None, list[Property]]:
    """Return the zoo.cfg, or what `port datadir [ticktime] [maxcnxns]` says. Without maxcnxns the
    limit is 0."""
    if not words or not words[0].isdecimal():
        if len(words) > 1:
            fail(f"one ZOO_CFG expected, not {len(words)} arguments")
        return (words[0] if words else None), []
    if not 2 <= len(words) <= 4:
        fail("expected: pyzk serve [ZOO_CFG], or pyzk serve PORT DATADIR [TICKTIME] [MAXCNXNS]")
    given = [place._replace(value=word) for place, word in zip(_POSITIONS, words, strict=False)]
    if len(words) < 4:
        given.append(_POSITIONS[3]._replace(value="0"))
    return None, given


def _given(options: Mapping[str, str | None]) -> list[Property]:
    """Return the keys that options of the command line set."""
    given = [
        Property(_OPTIONS[name], value, "--" + name.replace("_", "-"))
        for name, value in options.items()
        if value is not None
    ]
    # Who asks for it must get it, or an error.
    asked = [each for each in given if each.label in ("--admin-port", "--admin-host")]
    return given + [Property(_OPTIONS["no_admin"], "true", each.label) for each in asked[:1]]


def _check_combination(context: click.Context) -> None:
    """Refuse options that make no sense together."""

    def is_given(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not ParameterSource.DEFAULT and context.params[name] != ()

    is_ephemeral = context.params["ephemeral"]
    for name, text in (_NOT_EPHEMERAL if is_ephemeral else {}).items():
        if is_given(name):
            fail(f"--ephemeral does not go with {text}")
    for name, text in ({} if is_ephemeral else _ONLY_EPHEMERAL).items():
        if is_given(name):
            fail(f"{text} is for tests: it needs --ephemeral")
    for name in ("admin_port", "admin_host"):
        if is_given("no_admin") and is_given(name):
            fail(f"--no-admin does not go with --{name.replace('_', '-')}")
    if is_given("virtual_clock") and not is_given("control_port"):
        fail("--virtual-clock needs --control-port: otherwise time would never pass")


def _open_audit_log(path: str | None, form: str, config: ServerConfig) -> None:
    """Send the audit log to its file, if it has one, or end the process with one line that says why
    not."""
    if path is None:
        return
    if not config.audit_enable:
        fail("--audit-log needs audit.enable=true, in zoo.cfg or as -Dzookeeper.audit.enable=true")
    try:
        logs.audit_to_file(path, form)
    except OSError as error:
        fail(f"cannot write the audit log, {path}: {error.strerror}")


def _open_log_file(path: str | None, form: str, max_bytes: int, count: int) -> None:
    """Send the log to its file, if it has one, or end the process with one line that says why
    not."""
    if path is None:
        return
    try:
        logs.log_to_file(path, form, max_bytes, count)
    except OSError as error:
        fail(f"cannot write the log, {path}: {error.strerror}")


def _level_now(
    zoo_cfg: str | None, properties: Iterable[Property], given: Iterable[Property]
) -> str:
    """Return the level of the log that is configured now. Raises ConfigError and OSError."""
    return read_config(zoo_cfg, properties, given).log_level


def _serve_in_memory(context: click.Context, given: Sequence[Property]) -> int:
    """Run a server for tests; return the exit code."""
    from pyzk.cli import ephemeral

    params = context.params
    properties = load_properties(params["properties"], params["properties_file"])
    is_virtual = params["virtual_clock"]
    return ephemeral.run(
        ephemeral.make_server(given, properties, virtual_clock=is_virtual),
        control_port=ephemeral.port_number(params["control_port"], "--control-port"),
        connect_string_only=params["print_connect_string"],
        with_parent=params["exit_with_parent"],
    )


@click.command("serve")
@click.argument("words", nargs=-1, metavar="[ZOO_CFG | PORT DATADIR [TICKTIME [MAXCNXNS]]]")
@click.option("--port", metavar="PORT", help="Client port; 0 takes a free one.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on.")
@click.option("--data-dir", metavar="DIR", help="Snapshots, and logs without --data-log-dir.")
@click.option("--data-log-dir", metavar="DIR", help="Transaction logs.")
@click.option("--tick-time", metavar="MS", help="The unit of all timeouts.")
@click.option("--max-client-cnxns", metavar="N", help="Connections from one address; 0: no limit.")
@click.option("--whitelist", metavar="WORDS", help="Four-letter words to answer; *: all.")
@click.option(
    "--initialize", is_flag=True, help="An empty data directory is that of a new ensemble."
)
@click.option(
    "--config-in-data-dir",
    flag_value="true",
    help="Keep later configurations of the ensemble there; never write ZOO_CFG.",
)
@click.option("--no-fsync", flag_value="no", help="Answer writes before they are on disk.")
@click.option(
    "--admin-port", metavar="PORT", help="Port of the admin server (HTTP); 0: a free one."
)
@click.option("--admin-host", metavar="ADDRESS", help="Address of the admin server.")
@click.option("--no-admin", flag_value="false", help="No admin server.")
@property_options[0]
@property_options[1]
@click.option(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    help="Default: pyzk.logLevel in ZOO_CFG, else info; with --ephemeral warning.",
)
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="text", show_default=True)
@click.option("--log-file", metavar="FILE", help="File for the log; default: standard error.")
@click.option(
    "--log-file-size",
    type=Number("a number of bytes", 0),
    default=logs.LOG_FILE_BYTES,
    show_default=True,
    metavar="BYTES",
    help="When the log file is set aside; 0: never, another program does it.",
)
@click.option(
    "--log-file-count",
    type=Number("a number of files", 1),
    default=logs.LOG_FILES,
    show_default=True,
    metavar="N",
    help="How many log files that were set aside are kept.",
)
@click.option(
    "--audit-log", metavar="FILE", help="File for the audit log alone; it needs audit.enable=true."
)
@click.option(
    "--loop",
    type=click.Choice(LOOPS),
    default="auto",
    help="Event loop; auto: uvloop if installed.",
)
@click.option("--ephemeral", is_flag=True, help="For tests: in memory, short ticks.")
@click.option("--control-port", metavar="PORT", help="Port for faults over HTTP; 0: a free one.")
@click.option("--virtual-clock", is_flag=True, help="Time stands still, except for POST /advance.")
@click.option("--print-connect-string", is_flag=True, help="When ready, print HOST:PORT only.")
@click.option("--exit-with-parent", is_flag=True, help="Stop when the parent process is gone.")
@click.pass_context
def command(
    context: click.Context,
    /,
    words: tuple[str, ...],
    properties: tuple[str, ...],
    properties_file: str | None,
    log_level: str | None,
    log_format: str,
    log_file: str | None,
    log_file_size: int,
    log_file_count: int,
    audit_log: str | None,
    loop: str,
    initialize: bool,
    ephemeral: bool,
    control_port: str | None,
    virtual_clock: bool,
    print_connect_string: bool,
    exit_with_parent: bool,
    **options: str | None,
) -> None:
    """Run a server in the foreground, as ZOO_CFG says.

    Without arguments it listens on 127.0.0.1:2181 and keeps its data in ./pyzk-data. One line on
    standard output says when it is ready; logs go to standard error. SIGTERM and Ctrl-C stop it;
    SIGHUP opens log files anew and reads certificates and the level of the log again.
    """
    logs.set_up(log_level or ("warning" if ephemeral else "info"), log_format)
    _check_combination(context)
    given = _given(options)
    if ephemeral:
        raise SystemExit(_serve_in_memory(context, given))
    zoo_cfg, positional = _words(words)
    _open_log_file(log_file, log_format, log_file_size, log_file_count)
    given = [*positional, *given]
    config = load(zoo_cfg, properties, properties_file, given)
    if log_level is None:
        logs.set_level(config.log_level)
    _open_audit_log(audit_log, log_format, config)
    config = replace(config, initialize=initialize)
    of_java = load_properties(properties, properties_file)
    if exit_with_parent:
        parent.exit_with_parent()
    raise SystemExit(
        runtime.run(
            config,
            loop=loop,
            connect_string_only=print_connect_string,
            must_be_heard=exit_with_parent,
            zoo_cfg=zoo_cfg,
            read_level=None if log_level else partial(_level_now, zoo_cfg, of_java, given),
        )
    )
