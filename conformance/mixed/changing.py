"""An ensemble whose members change while it serves, and what must be so afterwards.

Shell.

A member's zoo.cfg is written once, before its first start; after that it is its own.  What the
members should be is kept here beside them, and compared with what each says and has on its disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from conformance import wire
from conformance.differential.requests import SUPER
from conformance.frames import Address, Client, Frame
from conformance.mixed.ensemble import Ensemble
from conformance.mixed.members import MixedMember, check, eventually
from conformance.servers import Launcher
from pyzk.runtime.free_ports import free_port

CONFIG_NODE: Final = "/zookeeper/config"
NO_QUORUM: Final = -13
IN_PROGRESS: Final = -14
FOR_NOW: Final = (NO_QUORUM, IN_PROGRESS)
"""Errors of a reconfig that may be none a moment later."""


class ChangingMember(MixedMember):
    """A server whose zoo.cfg names the clients' address of each member, and is rewritten by it."""

    def __init__(self, sid: int, launcher: Launcher, root: Path, is_observer: bool = False) -> None:
        super().__init__(sid, launcher, root, is_observer)
        self.spelling: Callable[[str], str] = str
        """How the lines that this member is given first are spelt."""
        self.bound_port = self.client_port
        """The port for clients by the configuration in force."""
        self.extra: dict[str, str] = {}
        """What its first zoo.cfg has and the others' have not."""

    @property
    def zoo_cfg(self) -> Path:
        """Its configuration file, which it rewrites itself."""
        return self.root / "zoo.cfg"

    @property
    def address(self) -> Address:
        """Where clients connect now."""
        return ("127.0.0.1", self.bound_port)

    def server_line(
        self,
        quorum_port: int | None = None,
        election_port: int | None = None,
        *,
        host: str = "127.0.0.1",
    ) -> str:
        """Returns what a configuration says of this member."""
        line = super().server_line(quorum_port, election_port, host=host)
        return f"{line};127.0.0.1:{self.client_port}"

    def start(self, config: Mapping[str, str], properties: Mapping[str, str]) -> None:
        """Starts the process, and does not wait until it serves."""
        if not self.zoo_cfg.exists():
            settings = {
                key: self.spelling(value) if key.startswith("server.") else value
                for key, value in {**config, **self.extra, "dataDir": str(self.data)}.items()
            }
            self.zoo_cfg.write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
        self.begin_log()
        self.run_again(self.root, properties)

    def forget(self) -> None:
        """Removes its configuration; the next start writes a first one."""
        for file in self.root.glob("zoo.cfg*"):
            file.unlink()

    def move(self, *, client: bool = False, quorum: bool = False, election: bool = False) -> None:
        """Takes new ports; no configuration names them yet."""
        if client:
            self.client_port = free_port()
        if quorum:
            self.quorum_port = free_port()
        if election:
            self.election_port = free_port()


class ChangingEnsemble(Ensemble):
    """Members that come, go, move and change their roles."""

    members: dict[int, ChangingMember]  # type: ignore[assignment]

    def __init__(
        self,
        voters: Sequence[Launcher],
        observers: Sequence[Launcher] = (),
        config: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        enabled = {"reconfigEnabled": "true", **(config or {})}
        super().__init__(voters, observers, enabled, properties)
        self.lines = {sid: member.server_line() for sid, member in self.members.items()}
        """Who the members are by the configuration in force."""
        self.quorums: list[str] = []
        """The lines of groups and weights of the configuration in force."""
        self.version = 0
        """The version of the configuration in force; 0 before the first change."""

    def new_member(self, sid: int, launcher: Launcher, is_observer: bool) -> ChangingMember:
        return ChangingMember(sid, launcher, self.new_folder(sid), is_observer)

    def new_folder(self, sid: int) -> Path:
        """Returns a folder in which no server with this id has been."""
        lives = sum(member.sid == sid for member in self.former)
        return self.root / f"life{lives + 1}" if lives else self.root

    def __getitem__(self, sid: int) -> ChangingMember:
        return self.members[sid]

    @property
    def running(self) -> list[ChangingMember]:  # type: ignore[override]
        """The members with a process."""
        return [member for member in self.members.values() if member.process is not None]

    @property
    def text(self) -> str:
        """The configuration in force, without its version."""
        servers = [f"server.{sid}={self.lines[sid]}" for sid in sorted(self.lines)]
        return "\n".join([*servers, *self.quorums])

    def start_member(self, sid: int) -> None:
        """Starts one member; its first zoo.cfg has the present members and itself."""
        lines = {**self.lines, sid: self[sid].server_line()}
        servers = {f"server.{other}": lines[other] for other in sorted(lines)}
        self[sid].start({**self.config, **servers}, self.properties)

    def start(self, leader: int | None = None, only: Iterable[int] | None = None) -> None:
        """Starts members as every ensemble does, and learns the version that their first leader
        gives the configuration."""
        super().start(leader, only)
        client = self.administrator()
        answer = client.call("getData", wire.path_watch(CONFIG_NODE))
        client.close_session()
        self.version = version_of(answer)

    def come(self, sid: int, launcher: Launcher, *, is_observer: bool = False) -> ChangingMember:
        """Starts a new server with the present members and itself; it is no member yet."""
        self.members[sid] = member = self.new_member(sid, launcher, is_observer)
        self.start_member(sid)

        def serves() -> bool:
            member.check_running()
            return member.mode() in ("follower", "observer")

        eventually(f"{member} serves", serves, 60)
        return member

    def leave(self, sid: int) -> None:
        """Stops a server that is no member any more."""
        self[sid].stop()
        self.former.append(self.members.pop(sid))

    # --- the operation --------------------------------------------------------------

    def wanted(self, join: Iterable[int], leave: Iterable[int]) -> tuple[bytes, dict[int, str]]:
        """Returns the request that adds members, or changes them to what they are here, and removes
        others; and the lines of all members afterwards."""
        joining, leaving = list(join), list(leave)
        texts = [f"server.{sid}={self[sid].server_line()}" for sid in joining]
        body = wire.reconfig(",".join(texts) or None, ",".join(map(str, leaving)) or None, None)
        lines = {sid: line for sid, line in self.lines.items() if sid not in leaving}
        lines.update((sid, self[sid].server_line()) for sid in joining)
        return body, lines

    def reconfig(
        self, join: Iterable[int] = (), leave: Iterable[int] = (), through: int | None = None
    ) -> int:
        """Adds members, or changes them to what they are here, and removes others; returns the
        version."""
        body, lines = self.wanted(join, leave)
        return self._carry_out(body, lines, self.quorums, through)

    def replace(
        self, sids: Iterable[int], quorums: Sequence[str] = (), through: int | None = None
    ) -> int:
        """Makes these the members, as they are here, with these groups and weights; returns the
        version."""
        lines = {sid: self[sid].server_line() for sid in sids}
        servers = [f"server.{sid}={line}" for sid, line in lines.items()]
        body = wire.reconfig(None, None, ",".join([*servers, *quorums]))
        return self._carry_out(body, lines, list(quorums), through)

    def _carry_out(
        self, body: bytes, lines: dict[int, str], quorums: list[str], through: int | None
    ) -> int:
        """Asks until it is done: who is not in step yet, or under way, is a moment later."""
        found: list[int] = []

        def is_done() -> bool:
            found[:] = [self.ask(body, through)]
            return bool(found[0])

        eventually(f"{body!r}, led by {self.leader()}, is carried out", is_done, 60)
        self.become(lines, quorums, found[0])
        return self.version

    def become(self, lines: dict[int, str], quorums: list[str], version: int) -> None:
        """Takes a configuration as the one in force."""
        self.lines, self.quorums, self.version = lines, quorums, version
        for member in self.members.values():
            member.bound_port = member.client_port

    def ask(self, body: bytes, through: int | None = None) -> int:
        """Sends one reconfig; returns the version of the new configuration, 0 if it was refused for
        now. Raises MixedError for any other answer."""
        client = self.administrator(through)
        answer = client.call("reconfig", body)
        client.channel.close()
        if answer.err in FOR_NOW:
            return 0
        check(not answer.err, f"reconfig {body!r}: error {answer.err}")
        return version_of(answer)

    def administrator(self, through: int | None = None) -> Client:
        """Returns a session that may change the configuration, with the leader if not told
        otherwise."""
        client = self.client(self.leader().sid if through is None else through)
        client.login(SUPER)
        return client

    def votes(self, sid: int) -> bool:
        """Tells whether a server votes by the configuration in force."""
        return ":participant" in self.lines.get(sid, "")

    def observes(self, sid: int) -> bool:
        """Tells whether a server is an observer by the configuration in force."""
        return ":observer" in self.lines.get(sid, "")


def version_of(answer: Frame) -> int:
    """Returns the version of the configuration that an answer to getData or reconfig shows."""
    reader = wire.Reader(answer.body)
    reader.buffer()
    return int(str(reader.stat()["mzxid"]), 16)
