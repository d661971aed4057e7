"""`pyzk container`: run a server as the environment of its container says.

Shell. It runs in the image of `deploy/Dockerfile`, as process 1, where no shell is needed.
`pyzk/config/container.py` says what each variable becomes. A zoo.cfg that was put into the
container counts in their place. All that is written is `myid`, if there is none.
ZooKeeper: the entry points of the images `zookeeper` and `bitnami/zookeeper`
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from types import FrameType
from typing import NoReturn

import click

from pyzk.cli.output import print_out
from pyzk.cli.sources import fail, load, resolve
from pyzk.config.container import Plan, config_paths, configure, data_dir_of, plan
from pyzk.config.own_id import read_own_id
from pyzk.config.server import ServerConfig
from pyzk.config.start_files import StartFiles
from pyzk.errors import ConfigError
from pyzk.exit_codes import ExitCode
from pyzk.runtime import logs, process
from pyzk.runtime import main as runtime
from pyzk.runtime.auth_providers import has_provider

_log = logging.getLogger(__name__)

_IN_DATA_DIR = "zookeeper.pyzk.configInDataDir=true"


@click.command("container")
@click.option("--print", "print_only", is_flag=True, help="Print the settings; start nothing.")
@click.option("--health", "asks_health", is_flag=True, help="Ask the server that runs here.")
def command(print_only: bool, asks_health: bool) -> None:
    """Run a server as the environment variables of its container say.

    It takes the variables of the images `zookeeper` and `bitnami/zookeeper` (docs/containers.md has
    the table). If there is a file /conf/zoo.cfg, that counts instead. SIGTERM stops it.

    `--health` is the health check of the image: `pyzk health`, at the port that the variables say.
    """
    if not print_only and not asks_health:
        _be_process_1()
    environment = dict(os.environ)
    zoo_cfg = next(filter(os.path.isfile, config_paths(environment)), None)
    try:
        asked = plan(environment, socket.gethostname(), _text, has_config=zoo_cfg is not None)
    except ConfigError as error:
        fail(str(error))
    if print_only:
        _print(asked, zoo_cfg)
        return
    if asks_health:
        _ask_health(asked, zoo_cfg)
    logs.set_up(asked.log_level, asked.log_format)
    for warning in asked.warnings:
        _log.warning("environment: %s", warning)
    for note in asked.notes:
        _log.info("environment: %s", note)
    config = _from_file(asked, zoo_cfg) if zoo_cfg is not None else _from_environment(asked)
    raise SystemExit(runtime.run(config))


def _be_process_1() -> None:
    """Obey signals from now on, and keep no dead processes: for process 1 the kernel does neither
    unless it is asked to."""
    process.handle(process.heeded_signals(), _end_at_once)
    if os.getpid() == 1:
        # Orphans are handed to process 1. No server starts a process whose end it would wait for.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(ExitCode.EXECUTION_FINISHED)


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _print(asked: Plan, zoo_cfg: str | None) -> None:
    """Print what would be run. Passwords are not shown."""
    lines = [f"# myid: {asked.my_id}\n"]
    if zoo_cfg is not None:
        lines.append(f"# {zoo_cfg} counts\n")
    print_out("".join([*lines, asked.text()]))
    for kind, remarks in (("note", asked.notes), ("warning", asked.warnings)):
        for remark in remarks:
            click.echo(f"{kind}: {remark}", err=True)


def _ask_health(asked: Plan, zoo_cfg: str | None) -> NoReturn:
    """Ask the server of this container whether it is ready, and end with the code of `health`."""
    from pyzk.cli.health import command as health  # a server does without it

    target = zoo_cfg
    if target is None:
        content = _bytes(os.path.join(asked.data_dir, "myid"))
        sid = read_own_id(StartFiles(content))[1]
        target = asked.client_place(asked.my_id if sid is None else sid)
    health.main([target], prog_name="pyzk health")
    raise AssertionError("health ends the process")


# ---- from what is asked for to a configuration


def _from_environment(asked: Plan) -> ServerConfig:
    _write_my_id(asked, asked.data_dir)
    try:
        return configure(asked, _bytes, resolve, os.path.isdir, has_provider)
    except ConfigError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot read {error.filename}: {error.strerror}")


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _from_file(asked: Plan, zoo_cfg: str) -> ServerConfig:
    """Return what a zoo.cfg says that somebody has put into the container."""
    try:
        with open(zoo_cfg, "rb") as file:
            data_dir = data_dir_of(file.read())
    except ConfigError as error:
        fail(f"{zoo_cfg}: {error}")
    except OSError as error:
        fail(f"cannot read {zoo_cfg}: {error.strerror}")
    if data_dir:
        _write_my_id(asked, data_dir)
    properties = [f"{name}={value}" for name, value, _ in asked.properties]
    if not os.access(os.path.dirname(zoo_cfg) or ".", os.W_OK):
        # As a ConfigMap: later configurations of the ensemble could not be saved beside it.
        properties.insert(0, _IN_DATA_DIR)
    return load(zoo_cfg, properties)


def _write_my_id(asked: Plan, data_dir: str) -> None:
    """Write the file myid if there is none, and compare it with what the environment says if there
    is one. Ends the process with one line if it cannot be written."""
    path = os.path.join(data_dir, "myid")
    try:
        content = _bytes(path)
        if content is not None:
            _compare(asked, content, path)
            return
        os.makedirs(data_dir, exist_ok=True)
        draft = f"{path}.tmp"
        with open(draft, "w", encoding="ascii") as file:
            file.write(f"{asked.my_id}\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)
    except OSError as error:
        reason = f"cannot write {path}: {error.strerror}; the volume must belong to user"
        raise SystemExit(
            runtime.refuse(f"{reason} {os.getuid()}", ExitCode.UNABLE_TO_ACCESS_DATADIR)
        ) from None
    _log.info("wrote %s: this is server %d", path, asked.my_id)


def _compare(asked: Plan, content: bytes, path: str) -> None:
    first, sid = read_own_id(StartFiles(content, path))
    if asked.my_id_label and sid != asked.my_id:
        _log.warning(
            "environment: %s makes this server %d, but %s, which is there already and counts, holds"
            " %r; is this the volume of another server?",
            asked.my_id_label,
            asked.my_id,
            path,
            first,
        )
