"""Which of the servers a member is: the file `myid`, and the configuration that must have its id.

Pure. ZooKeeper: QuorumPeerConfig.setupMyId, QuorumPeerConfig.checkValidity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyzk.config.dynamic_files import backup_name
from pyzk.config.members import Membership, QuorumServer, parse_id
from pyzk.errors import ConfigError
from pyzk.int64 import hex_digits

if TYPE_CHECKING:
    from pyzk.config.start_files import StartFiles


def read_own_id(files: StartFiles) -> tuple[str, int | None]:
    """Return the first line of the file `myid`, and the server id that it is; None if it is not
    one."""
    lines = (files.myid or b"").decode("utf-8", "replace").lstrip("\ufeff").splitlines()
    first = lines[0].strip() if lines else ""
    try:
        return first, parse_id(first, "server id")
    except ValueError:
        return first, None


def find_server(
    sid: int, membership: Membership, last_seen: Membership | None
) -> QuorumServer | None:
    """Return a server as the configuration in force has it, else as the proposed one does; None if
    neither has it."""
    found = membership.member(sid)
    if found is None and last_seen is not None:
        found = last_seen.member(sid)
    return found


def find_me(
    files: StartFiles,
    membership: Membership,
    last_seen: Membership | None,
    dynamic_file: str | None,
) -> QuorumServer:
    """Return the server that has the id of the file `myid`. Raises ConfigError if there is none;
    ``dynamic_file`` is what the message calls the file that has the server lines."""
    path = files.myid_path
    listed = ", ".join(str(member.sid) for member in membership.members)
    if files.myid is None:
        import shlex  # it is needed only here

        raise ConfigError(
            f"there is no {path}; it must hold the id of this server, the N of its own"
            f" server.N line, one of {listed}: echo N > {shlex.quote(path)}",
            key="myid",
        )
    first, sid = read_own_id(files)
    if sid is None:
        shown = f"holds {first[:40]!r}, which is not a server id" if first else "is empty"
        raise ConfigError(
            f"{path} {shown}; it must hold the id of this server, one of {listed}", key="myid"
        )
    me = find_server(sid, membership, last_seen)
    if me is not None:
        return me
    if membership.version:
        # Reconfigurations have left it out.
        backup = backup_name(files.config_path or "zoo.cfg")
        raise ConfigError(
            f"{path} holds {sid}, but version {hex_digits(membership.version)} of"
            f" the ensemble, in {dynamic_file}, has the servers {listed} only: server {sid} was"
            " removed, or stopped before it was added. To let it join, give zoo.cfg the server"
            f" lines of the present members and of server {sid} instead of dynamicConfigFile"
            f" (those with which it was started first are in {backup}), start it, and add it with"
            " reconfig",
            key="myid",
        )
    raise ConfigError(
        f"{path} holds {sid}, but there is no server.{sid}, only {listed}; add the line on"
        " every server, or correct the file",
        key="myid",
    )
