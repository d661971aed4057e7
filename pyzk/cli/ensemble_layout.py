"""Where a local ensemble is: one directory, a folder for each member, ports on loopback.

Shell. In the folder of member N are its ``zoo.cfg``, its data with ``myid``, and its log. The files
are those of production: `pyzk serve DIR/1/zoo.cfg` runs that member by itself, and so does
ZooKeeper. What is there already is used as it is, so that an ensemble works again in its directory.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import attrs

from pyzk.config import admin
from pyzk.config.dynamic_files import parse_dynamic
from pyzk.config.ensemble import parse_ensemble
from pyzk.config.members import Membership, QuorumServer, version_of_file_name
from pyzk.config.settings import Setting, Settings
from pyzk.config.start_files import StartFiles
from pyzk.errors import ConfigError
from pyzk.persistence.filenames import INITIALIZE_NAME
from pyzk.runtime.free_ports import free_ports

LOOPBACK: Final = "127.0.0.1"
CONFIG_NAME: Final = "zoo.cfg"
LOG_NAME: Final = "server.log"
DATA_NAME: Final = "data"
QUORUM_OFFSET: Final = 1000
ELECTION_OFFSET: Final = 2000
ADMIN_OFFSET: Final = 3000
"""The distances from a member's client port to its other ports, where they begin with
--base-port."""
MIN_VOTERS: Final = 2
MAX_MEMBERS: Final = 50
MAX_PORT: Final = 65535
_SETTINGS: Final = """\
# Written by `pyzk ensemble`; changes stay. Each member of the ensemble has a file like this.
tickTime=2000
initLimit=10
syncLimit=5
maxClientCnxns=0
4lw.commands.whitelist=*
"""
_NO_ADMIN: Final = "admin.enableServer=false\n"
_ADMIN: Final = f"admin.enableServer=true\nadmin.serverAddress={LOOPBACK}\nadmin.serverPort="


_RECONFIG: Final = """\
reconfigEnabled=true
standaloneEnabled=false
"""


class LayoutError(Exception):
    """The ensemble cannot be there, or not in this form; the text says what to do."""


class Ports(NamedTuple):
    """The three ports of one member."""

    client: int
    quorum: int
    election: int


class MemberFolder(NamedTuple):
    """One member and its folder."""

    sid: int
    is_observer: bool
    folder: Path
    ports: Ports
    admin_port: int | None = None
    """The port of its admin server; None if it has none."""

    @property
    def config(self) -> Path:
        return self.folder / CONFIG_NAME

    @property
    def data(self) -> Path:
        return self.folder / DATA_NAME

    @property
    def log(self) -> Path:
        return self.folder / LOG_NAME

    @property
    def line(self) -> str:
        """The line of zoo.cfg about this member."""
        role = "observer" if self.is_observer else "participant"
        client, quorum, election = self.ports
        return f"server.{self.sid}={LOOPBACK}:{quorum}:{election}:{role};{LOOPBACK}:{client}"


def connect_string(members: Iterable[MemberFolder]) -> str:
    """Return the connect string for a client."""
    return ",".join(f"{LOOPBACK}:{member.ports.client}" for member in members)


def admin_addresses(members: Iterable[MemberFolder]) -> str:
    """Return where the admin servers are, separated by commas."""
    found = [member.admin_port for member in members if member.admin_port is not None]
    return ",".join(f"http://{LOOPBACK}:{port}" for port in found)


def prepare(
    directory: Path,
    voters: int | None,
    observers: int | None,
    base_port: int | None,
    *,
    can_change: bool = False,
    has_admin: bool = False,
) -> list[MemberFolder]:
    """Return the members that are there, or make them. None stands for what is there, or for what
    is usual; ``can_change`` asks for an ensemble that takes reconfigurations, ``has_admin`` for an
    admin server beside each member.

    Raises LayoutError, OSError.
    """
    found = _find(directory)
    if found is not None:
        _check_same(directory, found, voters, observers, base_port)
        if can_change:
            _check_changeable(found)
        if has_admin:
            _check_admin(found)
        members = found
    else:
        members = _plan(directory, voters or DEFAULT_VOTERS, observers or 0, base_port, has_admin)
    check_free(members, is_new=found is None)
    if found is None:
        _write(members, _SETTINGS + _RECONFIG if can_change else _SETTINGS)
    return members


DEFAULT_VOTERS: Final = 3
DEFAULT_BASE_PORT: Final = 2181


# --- what is there --------------------------------------------------------------------


def _find(directory: Path) -> list[MemberFolder] | None:
    """Return the members of an ensemble that was here before; None if there is none."""
    if not directory.exists():
        return None
    if not directory.is_dir():
        raise LayoutError(f"{directory} is not a directory; --dir names one")
    sids = sorted(int(entry.name) for entry in directory.iterdir() if _is_folder(entry))
    if not sids:
        if any(directory.iterdir()):
            raise LayoutError(
                f"{directory} holds something else; --dir names a directory that is empty, new, or"
                " was made by pyzk ensemble"
            )
        return None
    read = {sid: read_membership(directory / str(sid) / CONFIG_NAME, sid) for sid in sids}
    newest = max(read, key=lambda sid: read[sid].version)
    if read[newest].version:
        return _reconfigured(directory, newest, read[newest], sids)
    return [_read(directory, sid, read[sid], sids) for sid in sids]


def _is_folder(entry: Path) -> bool:
    return entry.name.isdecimal() and (entry / CONFIG_NAME).exists()


def _reconfigured(
    directory: Path, sid: int, membership: Membership, sids: Sequence[int]
) -> list[MemberFolder]:
    """Return the members of the configuration that is in force, which server ``sid`` knows; a
    folder of a server that was removed may be there, too."""
    config = directory / str(sid) / CONFIG_NAME
    missing = [member.sid for member in membership.members if member.sid not in sids]
    if missing:
        raise LayoutError(
            f"{config} names a file with the servers {_list(missing)}, which have no folder in"
            f" {directory}; remove them from the ensemble with reconfig, or use another directory"
        )
    return [_folder(directory, config, member) for member in membership.members]


def _read(directory: Path, sid: int, membership: Membership, sids: Sequence[int]) -> MemberFolder:
    config = directory / str(sid) / CONFIG_NAME
    named = [member.sid for member in membership.members]
    if named != list(sids):
        raise LayoutError(
            f"{config} names the servers {_list(named)}, but {directory} has folders for"
            f" {_list(sids)}; correct it, or use another directory"
        )
    me = membership.member(sid)
    assert me is not None, sid
    return _folder(directory, config, me)


def _folder(directory: Path, config: Path, member: QuorumServer) -> MemberFolder:
    address, sid = member.addresses[0], member.sid
    if member.client_port is None:
        raise LayoutError(f"{config}: end the line server.{sid} with ;{LOOPBACK}: and a port")
    ports = Ports(member.client_port, address.quorum_port, address.election_port)
    return MemberFolder(
        sid, member.is_observer, directory / str(sid), ports, _admin_port_in(config)
    )


def _admin_port_in(config: Path) -> int | None:
    """Return the port of the admin server that zoo.cfg asks for, None if it asks for none."""
    try:
        settings = Settings(config.read_bytes())
        found = admin.read_admin(settings, {}, _say_nothing, _say_nothing)
    except ConfigError as error:
        raise LayoutError(f"{config}: {error}") from None
    return None if found is None else found.server_port


def _say_nothing(setting: Setting, text: str) -> None:
    """Say nothing: the member itself does, in its log."""


def read_membership(config: Path, sid: int) -> Membership:
    """Return the membership that zoo.cfg states, or the file that it names. Raises LayoutError,
    OSError."""
    try:
        settings = Settings(config.read_bytes())
        dynamic = settings.dynamic_file
        if dynamic is not None:
            membership = parse_dynamic(Path(dynamic).read_bytes())
            return attrs.evolve(membership, version=version_of_file_name(dynamic))
        ensemble = parse_ensemble(settings, StartFiles(str(sid).encode()))
    except ConfigError as error:
        raise LayoutError(f"{config}: {error}") from None
    if ensemble is None:
        raise LayoutError(
            f"{config} is the configuration of a single server; use another directory"
        )
    return ensemble.membership


def _check_same(
    directory: Path,
    found: Sequence[MemberFolder],
    voters: int | None,
    observers: int | None,
    base_port: int | None,
) -> None:
    """Raise LayoutError if what is asked for differs from what the directory holds."""
    its_voters = sum(not member.is_observer for member in found)
    its_observers = len(found) - its_voters
    its_port = found[0].ports.client
    if voters not in (None, its_voters) or observers not in (None, its_observers):
        raise LayoutError(
            f"{directory} holds an ensemble of {its_voters} voters and {its_observers} observers;"
            " leave the numbers out, or use another directory"
        )
    if base_port not in (None, its_port):
        raise LayoutError(
            f"{directory} holds an ensemble whose client ports begin with {its_port}; leave"
            " --base-port out, or use another directory"
        )


def _check_changeable(found: Sequence[MemberFolder]) -> None:
    """Raise LayoutError if a member that is there takes no reconfiguration."""
    for member in found:
        setting = Settings(member.config.read_bytes()).known.get("reconfigEnabled")
        if setting is None or setting.value.lower() != "true":
            raise LayoutError(
                f"{member.config} does not have reconfigEnabled=true; set it in the zoo.cfg of each"
                " member, or leave --reconfig-enabled out"
            )


def _check_admin(found: Sequence[MemberFolder]) -> None:
    """Raise LayoutError if a member that is there has no admin server."""
    for member in found:
        if member.admin_port is None:
            raise LayoutError(
                f"{member.config} has admin.enableServer=false; give each member a port of its own"
                " there, admin.serverPort, or leave --admin out"
            )


def _list(sids: Iterable[int]) -> str:
    return ", ".join(map(str, sids))


# --- what is made ---------------------------------------------------------------------


def _plan(
    directory: Path, voters: int, observers: int, base_port: int | None, has_admin: bool
) -> list[MemberFolder]:
    count = voters + observers
    first = DEFAULT_BASE_PORT if base_port is None else base_port
    ports = _chosen(count, first)
    admin_ports = _chosen_for_admin(count, first) if has_admin else [None] * count
    return [
        MemberFolder(at + 1, at >= voters, directory / str(at + 1), ports[at], admin_ports[at])
        for at in range(count)
    ]


def _chosen_for_admin(count: int, base_port: int) -> Sequence[int | None]:
    if base_port == 0:
        return free_ports(count)
    _check_highest(base_port, ADMIN_OFFSET + count - 1, count)
    return range(base_port + ADMIN_OFFSET, base_port + ADMIN_OFFSET + count)


def _check_highest(base_port: int, distance: int, count: int) -> None:
    if base_port + distance > MAX_PORT:
        most = MAX_PORT - distance
        raise LayoutError(f"--base-port {base_port}: {most} is the highest for {count} servers")


def _chosen(count: int, base_port: int) -> list[Ports]:
    if base_port == 0:
        free = free_ports(3 * count)
        return [Ports(*free[at : at + 3]) for at in range(0, 3 * count, 3)]
    _check_highest(base_port, ELECTION_OFFSET + count - 1, count)
    return [
        Ports(port, port + QUORUM_OFFSET, port + ELECTION_OFFSET)
        for port in range(base_port, base_port + count)
    ]


def check_free(members: Iterable[MemberFolder], *, is_new: bool) -> None:
    """Raise LayoutError if a port is in use, because a member would say so only in its log. Where
    members are there already, only those in another directory can have other ports."""
    elsewhere = "" if is_new else " in another directory"
    for member in members:
        ports = [*zip(member.ports, ("client", "quorum", "election"), strict=True)]
        if member.admin_port is not None:
            ports.append((member.admin_port, "admin"))
        for port, name in ports:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((LOOPBACK, port))
                    sock.listen(1)
                except OSError as error:
                    raise LayoutError(
                        f"port {port}, the {name} port of server {member.sid}:"
                        f" {os.strerror(error.errno or 0)}; stop the process that uses it,"
                        f" or give another --base-port{elsewhere} (0: ports that are free)"
                    ) from None


def _write(members: Sequence[MemberFolder], settings: str) -> None:
    servers = "".join(f"{member.line}\n" for member in members)
    for member in members:
        member.data.mkdir(parents=True)
        (member.data / "myid").write_text(f"{member.sid}\n")
        # The ensemble is new: no member needs to ask the others whether they have data.
        (member.data / INITIALIZE_NAME).touch()
    # Last: with this file a folder is a member's.
    for member in members:
        own = _NO_ADMIN if member.admin_port is None else f"{_ADMIN}{member.admin_port}\n"
        member.config.write_text(f"{settings}{own}dataDir={member.data.absolute()}\n{servers}")
