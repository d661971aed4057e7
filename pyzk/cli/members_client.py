"""Reads and changes the configuration of an ensemble as a client of it.

Shell. It needs one server that serves, and learns the others from `/zookeeper/config`. A change
names the version that it starts from, so it never overwrites another's. If the connection is lost
before the answer, the configuration is read until it says what has become of the change.

ZooKeeper: ZooKeeperAdmin
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, TypeVar

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from pyzk.auth.access import SUPER
from pyzk.cli.access import PLAIN, Access
from pyzk.cli.access_kazoo import FailedLogin, kazoo_client
from pyzk.cli.client_addresses import ClientAddress
from pyzk.cli.members_change import Change, same_content
from pyzk.cli.members_checks import Observed
from pyzk.cli.members_places import Places
from pyzk.cli.status import DEFAULT_MAX_LAG
from pyzk.cli.survey import (
    SurveyedServer,
    configuration_of,
    explain,
    look,
    survey,
)
from pyzk.config.members import Membership, QuorumServer, parse_membership
from pyzk.constants import OpCode, Perms
from pyzk.errors import ConfigError, JuteError
from pyzk.jute.records import ClientInfo, WhoAmIResponse
from pyzk.runtime.addresses import look_up, place

CONFIG_PATH: Final = "/zookeeper/config"
SESSION_S: Final = 10.0
PATIENCE_S: Final = 30.0
"""The seconds for which a change may be without an answer, and for which the ensemble may be
without a leader behind it."""
_PAUSE_S: Final = 0.2
_MOST_LOOKS: Final = 4
"""How often servers are asked for the members, each time those that the last ones have named."""

_log = logging.getLogger("pyzk.cli.members.client")
# kazoo tells of each connection that it tries; what matters is said by the command.
_log.setLevel(logging.CRITICAL + 1)

_T = TypeVar("_T")
_LOST: Final = (
    exceptions.ConnectionLoss,
    exceptions.ConnectionClosedError,
    exceptions.SessionExpiredError,
    exceptions.OperationTimeoutError,
    exceptions.SessionMovedError,
    KazooTimeoutError,
)


class UnavailableError(Exception):
    """No server answers, or none lets this client in."""


class RefusedError(Exception):
    """The servers refuse the change; nothing was changed."""

    def __init__(self, check: str, text: str) -> None:
        super().__init__(text)
        self.check = check
        self.text = text


class UnknownOutcomeError(Exception):
    """The answer to a change was lost, and the configuration does not say what became of it."""


_REFUSALS: Final[dict[type[Exception], tuple[str, str]]] = {
    exceptions.ReconfigDisabledError: (
        "reconfig-off",
        "the servers take no reconfiguration: set reconfigEnabled=true in zoo.cfg of each member,"
        " and start them again one by one",
    ),
    exceptions.NoAuthError: (
        "permission",
        "the servers do not let this client change the members: --auth must be the superuser's"
        " (digest:super:PASSWORD), or one to whom the ACL of /zookeeper/config gives WRITE; or the"
        " server asked has no superDigest; try another one with -s",
    ),
    exceptions.ReconfigInProcessError: (
        "in-progress",
        "another reconfiguration is under way: try again when it is done (pyzk members list)",
    ),
    exceptions.BadVersionError: (
        "changed-meanwhile",
        "somebody else has changed the members meanwhile: look at them (pyzk members list), and"
        " give the command again",
    ),
    exceptions.NewConfigNoQuorumError: (
        "quorum-lost",
        "the leader has no quorum of the new voters in sync: start those that are down, and wait"
        " until they are in sync (pyzk members list)",
    ),
    exceptions.UnimplementedError: (
        "unimplemented",
        "the server that leads cannot change its members: it stands alone, or its version does not"
        " have this operation",
    ),
    exceptions.BadArgumentsError: (
        "bad-arguments",
        "the servers refuse the new members: perhaps too few voters (one voter needs"
        " standaloneEnabled=false on all), or an address that another member has; the leader's log"
        " says why",
    ),
    exceptions.MarshallingError: (
        "bad-arguments",
        "the servers cannot read the new members; the leader's log says why",
    ),
}


_STANDALONE: Final = (
    "standalone",
    "this server stands alone and has no members: give it a server line, standaloneEnabled=false"
    " and reconfigEnabled=true, and start it again (docs/operations.md says how it grows)",
)


class _WhoAmI:
    """A request for the identities of this connection, in the form that kazoo sends."""

    type: Final = OpCode.WHO_AM_I

    def serialize(self) -> bytes:
        return b""

    @classmethod
    def deserialize(cls, buffer: bytes, offset: int) -> list[ClientInfo]:
        return WhoAmIResponse.decode(bytes(buffer), offset, len(buffer))[0].client_info


class EnsembleClient:
    """A session with an ensemble."""

    def __init__(
        self,
        servers: Sequence[ClientAddress],
        auth: tuple[str, str] | None,
        timeout_s: float,
        access: Access = PLAIN,
    ) -> None:
        self._places = Places(servers, has_tls=access.tls is not None)
        self._auth = auth
        self._access = access
        self._failed_login = FailedLogin()
        self._timeout_s = timeout_s
        self._client: KazooClient | None = None
        self._tells_identities = True

    def __enter__(self) -> EnsembleClient:
        self._connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _connect(self) -> None:
        """Raises UnavailableError."""
        serving = self._serving()
        client = kazoo_client(
            self._access,
            self._failed_login,
            hosts=",".join(map(str, serving)),
            timeout=SESSION_S,
            auth_data=None if self._auth is None else [self._auth],
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=1.0),
            command_retry=KazooRetry(max_tries=0),
            logger=_log,
        )
        try:
            client.start(timeout=max(self._timeout_s, 1.0))
        except KazooTimeoutError:
            if self._failed_login.reason is not None:
                raise self._not_logged_in() from None
            why = "they may be full (maxClientCnxns), or ask for another authentication (--auth)"
            raise UnavailableError(
                f"no session with {', '.join(map(str, serving))}: {why}"
            ) from None
        except exceptions.AuthFailedError:
            raise UnavailableError(
                "the servers do not accept the credentials of --auth: is the scheme right"
                " (digest:USER:PASSWORD)?"
            ) from None
        self._client = client

    def _not_logged_in(self) -> UnavailableError:
        why = self._failed_login.reason
        return UnavailableError(
            "the servers do not accept the credentials"
            if why is None
            else f"the login by SASL has failed: {why}"
        )

    def _serving(self) -> list[ClientAddress]:
        """Return the servers to connect to, those that serve. Raises UnavailableError."""
        found = asyncio.run(look(self._places.given, self._timeout_s, self._access))
        serving = [each.address for each in found if each.is_serving and each.mode != "read-only"]
        if serving:
            return serving
        said = [f"{each.address}: {each.problem or each.mode}" for each in found]
        raise UnavailableError("no server takes writes: " + "; ".join(said))

    def _close(self) -> None:
        if self._client is not None:
            self._client.stop()
            self._client.close()
            self._client = None

    def read(self) -> Membership:
        """Return the configuration in force. Raises UnavailableError and RefusedError."""
        text = self._asked(self._read_text)
        if not text:
            raise RefusedError(*_STANDALONE)
        try:
            return parse_membership(text)
        except ConfigError as error:
            raise UnavailableError(f"{CONFIG_PATH} cannot be read: {error}") from None

    def _read_text(self, client: KazooClient) -> bytes:
        # A follower may be behind.
        client.sync_async(CONFIG_PATH).get(timeout=self._timeout_s)
        data, _ = client.get_async(CONFIG_PATH).get(timeout=self._timeout_s)
        assert isinstance(data, bytes), data
        return data

    def anybody_can_write(self) -> bool | None:
        """Return whether everybody may change the configuration; None if that cannot be told."""

        def ask(client: KazooClient) -> bool | None:
            acls, _ = client.get_acls_async(CONFIG_PATH).get(timeout=self._timeout_s)
            if any(acl.id.scheme == "world" and acl.perms & Perms.WRITE for acl in acls):
                return True
            return False if all(acl.id.scheme == "world" for acl in acls) else None

        try:
            return self._asked(ask)
        except RefusedError:
            return None

    def is_super(self) -> bool | None:
        """Return whether the server takes this client for the superuser; None if it does not tell,
        as those before 3.7."""

        def ask(client: KazooClient) -> bool | None:
            result = client.handler.async_result()
            client._call(_WhoAmI(), result)  # kazoo has no method for it
            try:
                identities = result.get(timeout=self._timeout_s)
            except (exceptions.UnimplementedError, JuteError):
                self._tells_identities = False  # and closes the connection
                return None
            return any(each.auth_scheme == SUPER for each in identities)

        return self._asked(ask) if self._tells_identities else None

    def _asked(self, question: Callable[[KazooClient], _T]) -> _T:
        """Return the answer to a question, asked again while there is no connection."""
        end = time.monotonic() + PATIENCE_S
        assert self._client is not None
        while True:
            try:
                return question(self._client)
            except _LOST:
                if time.monotonic() > end:
                    raise UnavailableError(f"no server has answered for {PATIENCE_S:g} s") from None
                time.sleep(_PAUSE_S)
            except exceptions.AuthFailedError:
                raise self._not_logged_in() from None
            except exceptions.NoAuthError:
                raise RefusedError(
                    "permission", f"the servers do not let this client read {CONFIG_PATH}: --auth"
                ) from None
            except exceptions.KazooException as error:
                raise UnavailableError(f"the server answers {_name(error)}") from None

    def make(self, change: Change) -> Membership:
        """Make a change; return the configuration that is in force then.

        Raises RefusedError, UnknownOutcomeError and UnavailableError.
        """
        try:
            return self._make(change)
        except KeyboardInterrupt:
            raise UnknownOutcomeError(
                "it was interrupted before the answer: the change may be made; look at the members"
                " (pyzk members list)"
            ) from None

    def _make(self, change: Change) -> Membership:
        assert self._client is not None
        self._know((*change.before.members, *change.after.members))
        result = self._client.reconfig_async(*change.arguments(), change.before.version)
        try:
            data, _ = result.get(timeout=PATIENCE_S)
        except _LOST:
            return self._find_out(change)
        except tuple(_REFUSALS) as error:
            raise RefusedError(*_REFUSALS[type(error)]) from None
        except exceptions.KazooException as error:
            raise RefusedError("error", f"the servers answer {_name(error)}") from None
        return parse_membership(data)

    def _find_out(self, change: Change) -> Membership:
        """Return the configuration if it is the one that was asked for."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                now = self.read()
            except UnavailableError:
                time.sleep(_PAUSE_S)
                continue
            if now.version == change.before.version:
                time.sleep(_PAUSE_S)
            elif same_content(now, change.after):
                return now
            else:
                raise RefusedError(*_REFUSALS[exceptions.BadVersionError])
        raise UnknownOutcomeError(
            "the connection was lost before the answer, and the configuration is still the old one:"
            " the change may yet be made; look again (pyzk members list)"
        )

    def _know(self, members: Iterable[QuorumServer]) -> None:
        """Connect to any of these members from now on: one of those given may leave."""
        assert self._client is not None
        self._client.set_hosts(",".join(map(str, self._places.all_of(members))))

    def observe(
        self, others: Iterable[QuorumServer] = (), max_lag: int = 0, is_writer: bool = True
    ) -> Observed:
        """Return how the members are, and servers that are none yet."""
        is_somebody = self._auth is not None or self._access.has_identity
        is_super = self.is_super() if is_writer and is_somebody else None
        membership = self.read()
        members = [*membership.members, *others]
        observed = Observed(
            membership,
            asyncio.run(self._survey(members)),
            max_lag,
            has_auth=self._auth is not None,
            has_identity=self._access.has_identity,
            can_write=self.anybody_can_write() if is_writer else None,
            is_super=is_super,
            place_of=self._places.of,
        )
        asyncio.run(self._try_addresses(others, observed))
        return observed

    async def _survey(self, members: Iterable[QuorumServer]) -> list[SurveyedServer]:
        places = self._places
        if places.has_tls:
            places.learn(await survey(places.given, self._timeout_s, self._access))
        members = list(members)
        servers = await survey(places.all_of(members), self._timeout_s, self._access)
        if await places.ask_the_lost(members, servers, self._timeout_s):
            servers = await survey(places.all_of(members), self._timeout_s, self._access)
        return servers

    async def _try_addresses(self, members: Iterable[QuorumServer], observed: Observed) -> None:
        """Note which hosts nobody knows, and which servers that run have closed election ports."""
        pairs = []
        for member in members:
            is_running = observed.why_not_in_sync(member) is None
            for each in member.addresses:
                try:
                    look_up(each.host, each.election_port)
                except (OSError, UnicodeError) as error:
                    observed.unreachable[each.host] = explain(_as_os(error), self._timeout_s)
                    continue
                if is_running:
                    pairs.append((each.host, each.election_port))
        tried = await asyncio.gather(*(_try(pair, self._timeout_s) for pair in pairs))
        for pair, why in zip(pairs, tried, strict=True):
            if why is not None:
                observed.unreachable[place(*pair)] = why


def look_at_members(
    given: Sequence[ClientAddress], timeout_s: float, access: Access = PLAIN
) -> Observed | None:
    """Return how the members are, without a session, which would be a transaction; None if no
    server that is asked tells the configuration (``conf``). Raises RefusedError."""
    where = Places(given, has_tls=access.tls is not None)
    servers = asyncio.run(survey(given, timeout_s, access))
    where.learn(servers)
    if servers and all(each.is_serving and each.mode == "standalone" for each in servers):
        raise RefusedError(*_STANDALONE)
    configuration = configuration_of(servers)
    for _ in range(_MOST_LOOKS):
        if configuration is None:
            return None
        asyncio.run(where.ask_the_lost(configuration.members, servers, timeout_s))
        places = where.all_of(configuration.members)
        if set(places) <= {each.address for each in servers}:
            break
        servers = asyncio.run(survey(places, timeout_s, access))
        # The leader may be among them, and have a later one.
        configuration = configuration_of(servers) or configuration
    if configuration is None:
        return None
    return Observed(configuration, servers, DEFAULT_MAX_LAG, place_of=where.of)


async def _try(address: tuple[str, int], timeout_s: float) -> str | None:
    """Return why nobody listens at an address; None if somebody does."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(*address)
    except OSError as error:
        return explain(error, timeout_s)
    writer.close()
    return None


def _as_os(error: OSError | UnicodeError) -> OSError:
    return error if isinstance(error, OSError) else socket.gaierror(str(error))


def _name(error: Exception) -> str:
    return type(error).__name__.removesuffix("Error")
