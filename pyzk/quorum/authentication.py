"""How two members prove to each other who they are, before anything else on a connection.

Pure. Who connects logs in at the other, by SASL; both ports have the same exchange. A packet has a
magic number, a status and a token:

    connector                              acceptor
    IN_PROGRESS, initial token ->
                                        <- IN_PROGRESS, challenge     (at most 5)
    IN_PROGRESS, response ->
                                        <- SUCCESS, last token        or ERROR

A connector that is not told to log in (learnerRequireSasl) sends nothing, and an acceptor takes
that as long as it does not ask for more (serverRequireSasl): so SASL is turned on in three steps,
without a moment in which two members cannot talk. What comes behind the exchange is untouched.

ZooKeeper: SaslQuorumAuthServer, SaslQuorumAuthLearner, SaslQuorumServerCallbackHandler, QuorumAuth

Where this differs from ZooKeeper, on purpose: each packet must have the magic number, and members
that do not vote are logged in at, too, which ZooKeeper does since 3.9.4 (ZOOKEEPER-4886).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from pyzk.auth.sasl.digest_md5 import DigestMd5Client, DigestMd5Server
from pyzk.auth.sasl.gssapi import GssapiClient, GssapiServer
from pyzk.auth.sasl.mechanism import Mechanism
from pyzk.errors import QuorumProtocolError, SaslError
from pyzk.jute.archive import NULL, encode_buffer
from pyzk.outsiders import about_host
from pyzk.server.outbox import SaslStep

if TYPE_CHECKING:
    from pyzk.auth.sasl.gssapi import Kerberos
    from pyzk.config.jaas import Login
    from pyzk.config.sasl import QuorumSaslConfig
    from pyzk.quorum.configurations import Configurations
    from pyzk.server.server import Server

log = logging.getLogger(__name__)

MAGIC_BYTES: Final = bytes.fromhex("5f2435013501edcc")
"""No server that knows nothing of logins takes this for the beginning of anything else."""
IN_PROGRESS: Final = 0
SUCCESS: Final = 1
ERROR: Final = -1
SERVICE: Final = "zookeeper-quorum"
HOST: Final = "zk-quorum-sasl-md5"
"""What both sides name as the server with DIGEST-MD5, whatever it is called."""

MAX_TOKEN_BYTES: Final = 1 << 16
MAX_CHALLENGES: Final = 5
_HEADER_BYTES: Final = 16
_EMPTY: Final = -1
_NAME_ENDS: Final = re.compile("[/@]")


def encode_packet(status: int, token: bytes | None) -> bytes:
    """Returns one packet of an exchange."""
    head = MAGIC_BYTES + status.to_bytes(4, "big", signed=True)
    return head + (NULL if token is None else encode_buffer(token))


def login_packet_end(data: bytes) -> int | None:
    """Returns where the packet ends that these bytes begin with, None if that is not here yet.
    Raises QuorumProtocolError if they begin with none."""
    if data[:8] != MAGIC_BYTES[: len(data)]:
        raise QuorumProtocolError(f"no packet of an authentication: {data[:8].hex()}")
    if len(data) < _HEADER_BYTES:
        return None
    length = int.from_bytes(data[12:16], "big", signed=True)
    if not _EMPTY <= length <= MAX_TOKEN_BYTES:
        raise QuorumProtocolError(f"a token of {length} bytes")
    end = _HEADER_BYTES + max(0, length)
    return end if len(data) >= end else None


class ExchangeOwner(Protocol):
    """The link whose first bytes are an exchange."""

    @property
    def name(self) -> str:
        """Where the connection comes from or goes to, for the log."""
        ...

    def exchange_sends(self, data: bytes) -> None:
        """Writes a packet."""
        ...

    def exchange_passed(self, rest: bytes) -> None:
        """Goes on: the other side is who it says, or need not say it. ``rest`` is what has come
        behind the exchange."""
        ...

    def exchange_failed(self, reason: str) -> None:
        """Ends the connection."""
        ...


class Exchange:
    """One side of one exchange."""

    __slots__ = ("_is_stepping", "_mechanism", "_owner", "_received", "_shared", "is_over")

    def __init__(self, owner: ExchangeOwner, mechanism: Mechanism, shared: QuorumLogins) -> None:
        self._owner: ExchangeOwner = owner
        self._mechanism: Mechanism = mechanism
        self._shared: QuorumLogins = shared
        self._received: bytes = b""
        """What has come and is not taken yet."""
        self._is_stepping: bool = False
        """Whether a step is being taken on a thread."""
        self.is_over: bool = False

    def receive(self, data: bytes) -> None:
        """Takes bytes of the other side."""
        self._received += data
        if not self._is_stepping:
            self._go_on()
        elif len(self._received) > MAX_TOKEN_BYTES + _HEADER_BYTES:
            self.fail("it sends more than it may before its last token is answered")

    def stop(self) -> None:
        """Does nothing more: the connection has ended."""
        self.is_over = True

    def fail(self, reason: str) -> None:
        """Ends the exchange without success."""
        self.is_over = True
        self._owner.exchange_failed(reason)

    def _go_on(self) -> None:
        raise AssertionError("each side says what it takes")

    def _stepped(self, answer: bytes | None, failure: str) -> None:
        raise AssertionError("each side says what comes of a step")

    def _pass(self) -> None:
        self.is_over = True
        rest, self._received = self._received, b""
        self._owner.exchange_passed(rest)

    def _next_packet(self) -> tuple[int, bytes | None] | None:
        """Takes the next packet, as (status, token), once it is whole. Raises
        QuorumProtocolError."""
        data = self._received
        end = login_packet_end(data)
        if end is None:
            return None
        self._received = data[end:]
        has_token = int.from_bytes(data[12:16], "big", signed=True) != _EMPTY
        token = data[_HEADER_BYTES:end] if has_token else None
        return int.from_bytes(data[8:12], "big", signed=True), token

    def _step(self, token: bytes) -> None:
        """Takes a step of the mechanism: here, or on a thread if it may block."""
        if self._mechanism.is_blocking:
            self._is_stepping = True
            self._shared.order(self._mechanism, token, self._step_done)
            return
        try:
            answer = self._mechanism.step(token)
        except SaslError as error:
            self._stepped(None, str(error) or "no reason is known")
            return
        self._stepped(answer, "")

    def _step_done(self, answer: bytes | None, failure: str) -> None:
        self._is_stepping = False
        if self.is_over:
            return
        self._stepped(answer, failure)


class AcceptorExchange(Exchange):
    """The side of who was connected to."""

    __slots__ = ("_challenges", "_has_begun", "is_required")

    def __init__(self, owner: ExchangeOwner, mechanism: Mechanism, shared: QuorumLogins) -> None:
        super().__init__(owner, mechanism, shared)
        self.is_required: bool = shared.config.server_requires
        self._has_begun: bool = False
        """Whether the other side logs in."""
        self._challenges: int = 0

    @property
    def may_be_silent(self) -> bool:
        """Whether the other side may have nothing to say: it need not log in, and does not."""
        return not self.is_required and not self._has_begun and not self.is_over

    def pass_silent(self) -> None:
        """Goes on without a login: the other side has said nothing."""
        self._pass()

    def _go_on(self) -> None:
        data = self._received
        if not self._has_begun:
            if data[:8] != MAGIC_BYTES[: len(data)]:
                if self.is_required:
                    self.fail("it does not log in, and quorum.auth.serverRequireSasl asks for it")
                else:
                    self._pass()
                return
            if len(data) < len(MAGIC_BYTES):
                return
            self._has_begun = True
        try:
            packet = self._next_packet()
        except QuorumProtocolError as error:
            self._refuse(str(error))
            return
        if packet is not None:
            token = packet[1]
            if token is None:
                self._refuse("no token")
            else:
                self._step(token)

    def _stepped(self, answer: bytes | None, failure: str) -> None:
        if failure:
            self._refuse(failure)
        elif self._mechanism.is_complete:
            log.info(
                "%s has logged in as %s",
                self._owner.name,
                self._mechanism.authorization_id,
                extra=about_host(self._owner.name),
            )
            self._owner.exchange_sends(encode_packet(SUCCESS, answer))
            self._pass()
        elif self._challenges == MAX_CHALLENGES:
            self._refuse(f"{MAX_CHALLENGES} tokens prove nothing")
        else:
            self._challenges += 1
            self._owner.exchange_sends(encode_packet(IN_PROGRESS, answer))
            if self._received:
                self._go_on()

    def _refuse(self, reason: str) -> None:
        """Says that the login has failed. The connection goes on if it is not required: but the
        other side, which wanted one, ends it then."""
        self._owner.exchange_sends(encode_packet(ERROR, b""))
        if self.is_required:
            self.fail(f"its login failed: {reason}")
        else:
            log.warning(
                "the login of %s failed, and it need not log in: %s",
                self._owner.name,
                reason,
                extra=about_host(self._owner.name),
            )
            self._pass()


class ConnectorExchange(Exchange):
    """The side of who has connected."""

    __slots__ = ()

    def start(self) -> None:
        """Sends the first packet."""
        self._step(b"")

    def _go_on(self) -> None:
        try:
            packet = self._next_packet()
        except QuorumProtocolError as error:
            self.fail(str(error))
            return
        if packet is None:
            return
        status, token = packet
        mechanism = self._mechanism
        if status == SUCCESS and mechanism.is_complete:
            self._pass()
        elif status not in (IN_PROGRESS, SUCCESS) or mechanism.is_complete:
            self.fail("it does not accept the login of this server (quorum.auth.*)")
        elif token is None:
            self.fail("a packet without a token")
        elif status == SUCCESS:
            self._take_last(token)
        else:
            self._step(token)

    def _take_last(self, token: bytes) -> None:
        """Takes the last token, which asks for no answer. Only a mechanism that does not block has
        one."""
        try:
            answer = self._mechanism.step(token)
        except SaslError as error:
            self.fail(str(error))
            return
        if answer is None and self._mechanism.is_complete:
            self._pass()
        else:
            self.fail("it says that the login has succeeded before it has")

    def _stepped(self, answer: bytes | None, failure: str) -> None:
        if failure or answer is None:
            self.fail(f"this server cannot log in there: {failure or 'it has no answer'}")
        else:
            self._owner.exchange_sends(encode_packet(IN_PROGRESS, answer))
            if self._received:
                self._go_on()


class QuorumLogins:
    """What one member logs in with, and who may log in at it."""

    def __init__(
        self,
        config: QuorumSaslConfig,
        configs: Configurations,
        server: Server,
        rng: Random,
        after: Callable[[], None],
    ) -> None:
        """Takes in what is called behind each step that was taken on a thread: ``after``."""
        self.config: QuorumSaslConfig = config
        self._configs: Configurations = configs
        self._server: Server = server
        self._rng: Random = rng
        self._after: Callable[[], None] = after

    def acceptor(self, owner: ExchangeOwner) -> AcceptorExchange:
        """Returns the exchange of a connection that was accepted."""
        login = self.config.server
        mechanism: Mechanism
        if login.is_kerberos:
            mechanism = GssapiServer(partial(self._kerberos.accept, login), self._authorize)
        else:
            mechanism = DigestMd5Server(SERVICE, HOST, login.users.get, self._authorize, self._rng)
        return AcceptorExchange(owner, mechanism, self)

    def connector(self, owner: ExchangeOwner, host: str) -> ConnectorExchange | None:
        """Returns the exchange of a connection to a member, which the configuration calls ``host``;
        None if this server does not log in."""
        if not self.config.learner_requires:
            return None
        login = self.config.learner
        mechanism: Mechanism
        if login.is_kerberos:
            service = service_principal(self.config.service_principal, host, login)
            mechanism = GssapiClient(partial(self._kerberos.initiate, login, service), "")
        else:
            assert login.user is not None, login
            mechanism = DigestMd5Client(
                SERVICE, HOST, login.user, login.password, self._rng, login.user
            )
        return ConnectorExchange(owner, mechanism, self)

    def order(
        self, mechanism: Mechanism, token: bytes, stepped: Callable[[bytes | None, str], None]
    ) -> None:
        """Orders a step that may block."""

        def done(answer: bytes | None, failure: str) -> None:
            stepped(answer, failure)
            self._after()

        self._server.outbox.commands.append(SaslStep(self._kerberos, mechanism, token, done))

    @property
    def _kerberos(self) -> Kerberos:
        kerberos = self._server.host.kerberos
        assert kerberos is not None, "a world without Kerberos"
        return kerberos

    def _authorize(self, proved: str, asked: str) -> str:
        """Returns the name of a member. One that names a host must name that of a member. Raises
        SaslError."""
        if proved != asked:
            raise SaslError(f"{proved!r} may not act as {asked!r}")
        parts = _NAME_ENDS.split(proved)
        hosts = {
            address.host
            for membership in (self._configs.committed, self._configs.last_seen)
            for member in membership.members
            for address in member.addresses
        }
        if len(parts) == 3 and parts[1] not in hosts:
            raise SaslError(f"{proved!r} names the host of no member")
        return proved


def service_principal(configured: str, host: str, login: Login) -> str:
    """Returns the Kerberos principal of a member that the configuration calls ``host``. Where it
    names no realm it is that of this server."""
    name, at, realm = configured.partition("@")
    primary, slash, instance = name.partition("/")
    if instance == "_HOST":
        name = f"{primary}{slash}{host.lower()}"
    if not at:
        _, at, realm = (login.principal or "").partition("@")
    return f"{name}{at}{realm}"
