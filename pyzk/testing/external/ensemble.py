"""An ensemble that runs elsewhere behind the names of `ZooKeeperEnsemble`.

Shell. A client can ask who leads (``srvr``) and what each member has. It cannot kill a member,
choose the leader or cut the network: these are refused by name.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, Self

from pyzk.cli import survey
from pyzk.cli.access_options import AccessOptions
from pyzk.cli.client_addresses import ClientAddress
from pyzk.errors import KeeperError
from pyzk.testing.core.engine import RUNNING
from pyzk.testing.ensemble import MemberList, ZooKeeperEnsemble
from pyzk.testing.errors import FixtureError, NotRunningError
from pyzk.testing.external.plain_client import PlainClient, ask
from pyzk.testing.external.server import ORDER_S, ConnectedServer, ExternalServer
from pyzk.testing.external.sight import socket_of
from pyzk.testing.members.member import EnsembleMember
from pyzk.testing.server import WAIT_S

_DOWN: Final = "stopped"
_ROLES: Final = {survey.NOT_SERVING: "looking"}


class ConnectedMember(ExternalServer):
    """One member of a `ConnectedEnsemble`."""

    offers: type[object] = EnsembleMember

    def __init__(self, ensemble: ConnectedEnsemble, address: tuple[str, int]) -> None:
        super().__init__(ensemble.unavailable, ensemble.access_options)
        self.option = ensemble.option
        self._place = address
        self._chroot = ensemble.chroot
        self.state = RUNNING

    @property
    def _address(self) -> tuple[str, int]:
        return self._place

    def look(self) -> survey.SurveyedServer:
        """Return what the member says of itself."""
        found = survey.SurveyedServer(ClientAddress(*self._place))
        try:
            survey.read_srvr(found, ask(*self._place, "srvr", ORDER_S, self.access))
        except OSError as error:
            found.problem = str(error)
        return found

    def is_at(self, peer: tuple[str, int]) -> bool:
        """Tell whether this address, as a socket gives it, is the member's."""
        found = socket.getaddrinfo(*self._place, type=socket.SOCK_STREAM)
        return any(address[:2] == peer for *_, address in found)

    @property
    def role(self) -> str:
        """See `EnsembleMember.role`; ``stopped`` if the member does not answer."""
        found = self.look()
        return _DOWN if found.problem is not None else _ROLES.get(found.mode, found.mode)

    @property
    def is_leader(self) -> bool:
        """Whether the member says that it leads."""
        return self.role == "leader"

    @property
    def is_observer(self) -> bool:
        """Whether the member says that it is an observer."""
        return self.role == "observer"

    @property
    def zxid(self) -> int:
        """The zxid of the last transaction in the member's tree."""
        return self.look().zxid

    def sync(self) -> None:
        """Return when the member has everything that its leader had committed."""
        with self._client() as client:
            client.sync(self._full("/"))

    def start(self) -> Self:
        """Refuse: the member runs already."""
        raise FixtureError("start() is for the whole ensemble")

    def stop(self, *, leaks: str | None = None) -> None:
        """Refuse: the member belongs to somebody else."""
        __tracebackhide__ = True
        self.unavailable(f"stop is not available with an external server ({self.option})")

    def __repr__(self) -> str:
        return f"<server {':'.join(map(str, self._place))}>"


class ConnectedEnsemble(ConnectedServer, MemberList[ConnectedMember]):
    """The servers of a connect string, which form one ensemble."""

    offers: type[object] = ZooKeeperEnsemble

    def __init__(
        self,
        hosts: str,
        unavailable: Callable[[str], NoReturn] | None = None,
        access: AccessOptions | None = None,
    ) -> None:
        super().__init__(hosts, unavailable, access=access)
        self._members: list[ConnectedMember] = []

    def start(self) -> Self:
        """Create the chroot; return when every member has it."""
        super().start()
        self._members = [ConnectedMember(self, address) for address in self._addresses]
        self.wait_until_synced()
        return self

    def check_size(self, voters: int | None, observers: int | None) -> None:
        """Skip a test that asks for an ensemble of another size."""
        there = [member.role for member in self._members]
        its_observers = there.count("observer")
        its_voters = len(there) - its_observers
        if voters not in (None, its_voters) or observers not in (None, its_observers):
            self.unavailable(
                f"this size is not available with an external server ({self.option}): the test"
                f" wants {voters or 3} voters and {observers or 0} observers, there are"
                f" {its_voters} and {its_observers}"
            )

    # --- members --------------------------------------------------------------------

    @property
    def members(self) -> list[ConnectedMember]:
        """All members, in the order of the connect string."""
        return list(self._members)

    @property
    def leader(self) -> ConnectedMember:
        """The member that says that it leads. Raises NotRunningError if none does."""
        found = self._leader()
        if found is None:
            raise NotRunningError(f"no member leads: {self._state()}")
        return found

    def _leader(self) -> ConnectedMember | None:
        return next((member for member in self._members if member.is_leader), None)

    def server_of(self, client: object) -> ConnectedMember:
        """Return the member that a kazoo client is connected to now."""
        connection = socket_of(client)
        if connection is not None:
            with contextlib.suppress(OSError):
                peer = connection.getpeername()[:2]
                for member in self._members:
                    if member.is_at(peer):
                        return member
        raise FixtureError(f"{client!r} is not a kazoo client that is connected to a member now")

    def _state(self) -> str:
        return ", ".join(f"{member!r} is {member.role}" for member in self._members)

    # --- the tree, and waiting ------------------------------------------------------

    def load(self, tree: Mapping[str, Any]) -> None:
        """See `ZooKeeperEnsemble.load`."""
        super().load(tree)
        self.wait_until_synced()

    def wait_for_leader(self, *, timeout: float = WAIT_S) -> ConnectedMember:
        """Wait until a member says that it leads; return it."""
        self.wait_until(lambda: self._leader() is not None, "a leader", timeout=timeout)
        return self.leader

    def wait_until_serving(self, *members: ConnectedMember, timeout: float = WAIT_S) -> None:
        """Wait until these members serve clients; if none is named, wait for all."""
        chosen = members or self._members
        self.wait_until(
            lambda: all(member.look().is_serving for member in chosen), "all serve", timeout=timeout
        )

    def wait_until_synced(self, *, timeout: float = WAIT_S) -> None:
        """Wait until all members that serve have every write that is committed at this moment."""
        for member in self._members:
            if member.look().is_serving:
                with contextlib.suppress(KeeperError):
                    member.sync()

    def wait_for_node(
        self,
        path: str,
        *,
        exists: bool = True,
        data: bytes | None = None,
        timeout: float = WAIT_S,
    ) -> None:
        """Wait until all members that serve have a znode, or none has it."""
        for member in self._members:
            if member.look().is_serving:
                member.wait_for_node(path, exists=exists, data=data, timeout=timeout)

    def _first(self) -> PlainClient:
        if len(self._addresses) < 2:
            self.unavailable(
                f"an ensemble is not available with an external server alone ({self.option}): name"
                " all members of one, HOST:PORT,HOST:PORT,..."
            )
        return super()._first()
