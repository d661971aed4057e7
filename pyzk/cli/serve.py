"""`pyzk serve`: run a server.

Shell. The options are keys of `zoo.cfg` under another spelling and win over the file.
ZooKeeper: zkServer.sh start-foreground, and the positional form of ZooKeeperServerMain.
"""

from __future__ import annotations

import click

from pyzk.cli.sources import fail, load, property_options
from pyzk.config import Property
from pyzk.runtime import logs
from pyzk.runtime import main as runtime
from pyzk.runtime.loop import LOOPS

_OPTIONS = {
    "port": "clientPort",
    "host": "clientPortAddress",
    "data_dir": "dataDir",
    "data_log_dir": "dataLogDir",
    "tick_time": "tickTime",
    "max_client_cnxns": "maxClientCnxns",
    "whitelist": "4lw.commands.whitelist",
}

_POSITIONS = (
    Property("clientPort", "", "port"),
    Property("dataDir", "", "datadir"),
    Property("tickTime", "", "ticktime"),
    Property("maxClientCnxns", "", "maxcnxns"),
)


def _positional(words: tuple[str, ...]) -> list[Property]:
    """Return what `port datadir [ticktime] [maxcnxns]` says; without maxcnxns it is 0."""
    if not 2 <= len(words) <= 4:
        fail("expected: pyzk serve [ZOO_CFG], or pyzk serve PORT DATADIR [TICKTIME] [MAXCNXNS]")
    given = [place._replace(value=word) for place, word in zip(_POSITIONS, words, strict=False)]
    if len(words) < 4:
        given.append(_POSITIONS[3]._replace(value="0"))
    return given


@click.command("serve")
@click.argument("words", nargs=-1, metavar="[ZOO_CFG | PORT DATADIR [TICKTIME [MAXCNXNS]]]")
@click.option("--port", metavar="PORT", help="Client port; 0 takes a free one.")
@click.option("--host", metavar="ADDRESS", help="Address to listen on.")
@click.option("--data-dir", metavar="DIR", help="Snapshots, and logs where not said otherwise.")
@click.option("--data-log-dir", metavar="DIR", help="Transaction logs.")
@click.option("--tick-time", metavar="MS", help="The unit of all timeouts.")
@click.option("--max-client-cnxns", metavar="N", help="Connections of one address; 0: any number.")
@click.option("--whitelist", metavar="WORDS", help="Four-letter words that answer, or *.")
@click.option("--no-fsync", is_flag=True, help="Acknowledge before data is on disk. Not durable.")
@property_options[0]
@property_options[1]
@click.option("--log-level", type=click.Choice(logs.LEVELS), default="info", show_default=True)
@click.option("--log-format", type=click.Choice(logs.FORMATS), default="text", show_default=True)
@click.option("--loop", type=click.Choice(LOOPS), default="auto", help="Event loop.")
def command(
    words: tuple[str, ...],
    properties: tuple[str, ...],
    properties_file: str | None,
    log_level: str,
    log_format: str,
    loop: str,
    no_fsync: bool,
    **options: str | None,
) -> None:
    """Run a server in the foreground, as ZOO_CFG says.

    Without arguments it listens on 127.0.0.1:2181 and keeps its data in ./pyzk-data. One line on
    standard output says when it is ready; logs go to standard error. SIGTERM and SIGINT stop it.
    """
    given: list[Property] = []
    zoo_cfg = None
    if words and words[0].isdecimal():
        given += _positional(words)
    elif len(words) > 1:
        fail(f"one ZOO_CFG expected, not {len(words)} arguments")
    elif words:
        zoo_cfg = words[0]
    for option, key in _OPTIONS.items():
        value = options[option]
        if value is not None:
            given.append(Property(key, value, "--" + option.replace("_", "-")))
    if no_fsync:
        given.append(Property("forceSync", "no", "--no-fsync"))
    config = load(zoo_cfg, properties, properties_file, given)
    logs.set_up(log_level, log_format)
    raise SystemExit(runtime.run(config, loop=loop))
