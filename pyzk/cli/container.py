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

from pyzk.cli.output import print_out, print_remarks
from pyzk.cli.sources import ReadFile, fail, load, read_if_there, resolve
from pyzk.config.container import Plan, config_paths, configure, data_dir_of, plan
from pyzk.config.own_id import read_own_id
from pyzk.config.server import ServerConfig
from pyzk.config.start_files import StartFiles
from pyzk.errors import ConfigError
from pyzk.exit_codes import ExitCode
from pyzk.runtime import logs, process, secret_files
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
        raise SystemExit(_print(asked, zoo_cfg))
    if asks_health:
        _ask_health(asked, zoo_cfg)
    logs.set_up(asked.log_level, asked.log_format)
    for warning in asked.warnings:
        _log.warning("environment: %s", warning)
    for note in asked.notes:
        _log.info("environment: %s", note)
    _write_my_id(asked, _data_dir(asked, zoo_cfg))
    config = _config(asked, zoo_cfg, read_if_there)
    raise SystemExit(runtime.run(config, called=asked.called(zoo_cfg), zoo_cfg=zoo_cfg))


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


def _print(asked: Plan, zoo_cfg: str | None) -> int:
    """Print what would be run, and all that the start would say about it; return the exit code.
    Passwords are not shown. What the start refuses is refused here with the same line."""
    path = _my_id_path(_data_dir(asked, zoo_cfg))
    try:
        content = None if path is None else read_if_there(path)
    except OSError as error:
        return runtime.refuse(
            f"cannot read {path}: {error.strerror}", ExitCode.UNABLE_TO_ACCESS_DATADIR
        )

    def read(name: str) -> bytes | None:
        is_my_id = path is not None and os.path.normpath(name) == os.path.normpath(path)
        if is_my_id and content is None:
            return f"{asked.my_id}\n".encode()  # the start would write it
        return read_if_there(name)

    config = _config(asked, zoo_cfg, read)
    sid = asked.my_id
    doubt = None
    if path is not None and content is not None:
        first, found = read_own_id(StartFiles(content, path))
        sid = found if found is not None else sid
        doubt = _doubt(asked, first, found, path)
    lines = [f"# myid: {sid}\n"]
    if zoo_cfg is not None:
        lines.append(f"# {zoo_cfg} counts\n")
    print_out("".join([*lines, asked.text()]))
    print_remarks("note", [(None, text) for text in asked.notes])
    print_remarks("note", config.notes)
    print_remarks("warning", [(None, text) for text in (*asked.warnings, doubt) if text])
    print_remarks("warning", config.warnings)
    secrets = secret_files.warning(config)
    if secrets is not None:
        print_remarks("warning", [(None, secrets)])
    return ExitCode.EXECUTION_FINISHED


def _ask_health(asked: Plan, zoo_cfg: str | None) -> NoReturn:
    """Ask the server of this container whether it is ready, and end with the code of `health`."""
    from pyzk.cli.health import command as health  # a server does without it

    target = zoo_cfg
    if target is None:
        content = read_if_there(os.path.join(asked.data_dir, "myid"))
        sid = read_own_id(StartFiles(content))[1]
        target = asked.client_place(asked.my_id if sid is None else sid)
    health.main([target], prog_name="pyzk health")
    raise AssertionError("health ends the process")


# ---- from what is asked for to a configuration


def _config(asked: Plan, zoo_cfg: str | None, read_file: ReadFile) -> ServerConfig:
    """Return the configuration, or end the process with one line that says what is wrong."""
    if zoo_cfg is not None:
        return _from_file(asked, zoo_cfg, read_file)
    try:
        return configure(asked, read_file, resolve, os.path.isdir, has_provider)
    except ConfigError as error:
        fail(str(error))
    except OSError as error:
        fail(f"cannot read {error.filename}: {error.strerror}")


def _from_file(asked: Plan, zoo_cfg: str, read_file: ReadFile) -> ServerConfig:
    """Return what a zoo.cfg says that somebody has put into the container."""
    properties = [f"{name}={value}" for name, value, _ in asked.properties]
    if not os.access(os.path.dirname(zoo_cfg) or ".", os.W_OK):
        # As a ConfigMap: later configurations of the ensemble could not be saved beside it.
        properties.insert(0, _IN_DATA_DIR)
    return load(zoo_cfg, properties, read_file=read_file)


def _data_dir(asked: Plan, zoo_cfg: str | None) -> str:
    """Return the directory of `myid`; "" if a zoo.cfg counts that names none. Ends the process with
    one line if that cannot be read."""
    if zoo_cfg is None:
        return asked.data_dir
    try:
        with open(zoo_cfg, "rb") as file:
            return data_dir_of(file.read()) or ""
    except ConfigError as error:
        fail(f"{zoo_cfg}: {error}")
    except OSError as error:
        fail(f"cannot read {zoo_cfg}: {error.strerror}")


def _my_id_path(data_dir: str) -> str | None:
    return os.path.join(data_dir, "myid") if data_dir else None


def _write_my_id(asked: Plan, data_dir: str) -> None:
    """Write the file myid if there is none, and compare it with what the environment says if there
    is one. Ends the process with one line if it cannot be written."""
    path = _my_id_path(data_dir)
    if path is None:
        return
    try:
        content = read_if_there(path)
        if content is not None:
            doubt = _doubt(asked, *read_own_id(StartFiles(content, path)), path)
            if doubt is not None:
                _log.warning("environment: %s", doubt)
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


def _doubt(asked: Plan, first: str, sid: int | None, path: str) -> str | None:
    """Return a warning if the id that is stored, ``sid`` in the line ``first`` of the file, is not
    the one of the environment."""
    if not asked.my_id_label or sid == asked.my_id:
        return None
    return (
        f"{asked.my_id_label} makes this server {asked.my_id}, but {path}, which is there already"
        f" and counts, holds {first!r}; is this the volume of another server?"
    )
