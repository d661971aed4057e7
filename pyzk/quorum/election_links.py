"""Who dials whom on the election port, and which of two connections survives.

Pure. Any two servers keep one connection, opened by the one with the larger sid:

    dialed a smaller sid         keep it; an older connection to that server ends
    dialed a larger sid          say who we are and close it (a knock); the other dials back
    accepted from a larger sid   keep it; an older connection to that server ends
    accepted from a smaller sid  close it, and our own to that server, which has evidently lost it;
                                 dial the address in its message, or the configured one
    accepted from our own sid    two servers have one id, or an address is wrong: say so, close

A server that is not in the configuration is heard, too: one that joins gives its address when it
knocks.

At most one message waits for each server, the newest. The last one written is remembered and
written again on a new connection: a notification that was lost with the old one would be missed,
one that comes twice does no harm. That ends with the election, unlike in ZooKeeper: later it may be
true no longer. A message for a server without connection dials it. A failed dial is not repeated by
itself; the election repeats its notifications, and that dials again.

With quorum.auth.enableSasl a login follows the initial message (`quorum.authentication`), also on a
connection that the rule above is going to close. Until it is over the link is kept by nobody.

The orders go into the outbox: `DialElection`, `SendVote` and `CloseElection`.

ZooKeeper: QuorumCnxManager
"""

from __future__ import annotations

import logging
from collections.abc import Mapping  # compiled, a NamedTuple asks for it when it is made
from typing import TYPE_CHECKING, Final, NamedTuple

from pyzk.errors import QuorumProtocolError
from pyzk.outsiders import about, about_host
from pyzk.quorum.authentication import AcceptorExchange
from pyzk.quorum.commands import CloseElection, DialElection, SendVote
from pyzk.quorum.election_link import ElectionLink, LinkState
from pyzk.quorum.election_messages import (
    GENERIC_OBSERVER,
    Address,
    InitialMessage,
    decode_initial_message,
    frame,
    initial_message,
)

if TYPE_CHECKING:
    from pyzk.clock import Clock
    from pyzk.config.members import Membership
    from pyzk.quorum.authentication import QuorumLogins
    from pyzk.server.outbox import Outbox

log = logging.getLogger(__name__)

MAX_HANDSHAKES: Final = 64
"""How many accepted connections may not have said who they are; one more closes the oldest."""
MOMENT_MS: Final = 1000
"""Who has connected and says nothing for so long does not log in: the login would come at once."""
MAX_STRANGERS: Final = 256
"""How many connections servers outside the configuration may have; further ones are closed."""
STRANGERS: Final = "servers outside the configuration"
"""The subject of all log lines about such servers: anybody may claim to be any of them."""


class ElectionAddresses(NamedTuple):
    """Where each server of the configurations listens for elections."""

    committed: Mapping[int, tuple[Address, ...]]
    last_seen: Mapping[int, tuple[Address, ...]] = {}

    def candidates(self, sid: int) -> tuple[Address, ...]:
        """Returns where to dial: the committed addresses, then the proposed ones if they differ."""
        committed = self.committed.get(sid, ())
        proposed = self.last_seen.get(sid, ())
        return committed if proposed == committed else committed + proposed

    def is_known(self, sid: int) -> bool:
        """Returns whether either configuration has the server."""
        return sid in self.committed or sid in self.last_seen


def election_addresses(committed: Membership, last_seen: Membership | None) -> ElectionAddresses:
    """Returns the election addresses of the servers in these configurations."""
    return ElectionAddresses(
        _addresses(committed), _addresses(last_seen) if last_seen is not None else {}
    )


def _addresses(membership: Membership) -> dict[int, tuple[Address, ...]]:
    return {
        member.sid: tuple(Address(each.host, each.election_port) for each in member.addresses)
        for member in membership.members
    }


class ElectionLinks:
    """The links of one server to all others."""

    def __init__(
        self,
        sid: int,
        own: tuple[Address, ...],
        addresses: ElectionAddresses,
        clock: Clock,
        outbox: Outbox,
        handshake_timeout_ms: int,
        multi_address: bool = False,
        logins: QuorumLogins | None = None,
    ) -> None:
        """Takes in ``own`` where this server listens, as others know it.

        ``handshake_timeout_ms`` is ``quorumCnxnTimeoutMs``, or tickTime * syncLimit. Without
        ``logins`` nobody proves who he is.
        """
        assert own, "a server that others could not dial back"
        self.sid: int = sid
        self.own: tuple[Address, ...] = own
        self.addresses: ElectionAddresses = addresses
        self.clock: Clock = clock
        self.handshake_timeout_ms: int = handshake_timeout_ms
        self.multi_address: bool = multi_address
        self.links: dict[int, ElectionLink] = {}
        """sid -> the connection to that server."""
        self._outbox: Outbox = outbox
        self._logins: QuorumLogins | None = logins
        self.messages: list[tuple[int, bytes]] = []
        """The notifications that have come for the election, as (sid, notification)."""
        self.greeting: dict[ElectionLink, None] = {}
        """The links that are not kept yet, the oldest first; those that were dialed, too, while
        this server logs in there."""
        self._dialing: dict[int, None] = {}
        self._pending: dict[int, bytes] = {}
        self._last_sent: dict[int, bytes] = {}
        self._generic_observers: int = 0

    # --- what this server wants -----------------------------------------------------

    def send(self, sid: int, payload: bytes) -> None:
        """Sends a notification, or keeps it, instead of an older one, until a link is there."""
        assert sid != self.sid, "a message to this server itself"
        link = self.links.get(sid)
        if link is None and not self._can_reach(sid):
            log.warning(
                "no address of server %d is known: a notification to it is dropped",
                sid,
                extra=about(STRANGERS),
            )
            return
        self._pending[sid] = payload
        if link is None:
            self._dial(sid, ())
        elif not link.is_busy:
            self._write_pending(link, sid)

    def connect_all(self) -> None:
        """Dials every server of a configuration that is not connected."""
        for view in (self.addresses.committed, self.addresses.last_seen):
            for sid in sorted(view):
                if sid != self.sid and sid not in self.links:
                    self._dial(sid, ())

    def set_addresses(self, addresses: ElectionAddresses) -> None:
        """Takes a configuration that was committed or proposed, and dials the servers new in it."""
        known, self.addresses = self.addresses, addresses
        for sid in sorted({*addresses.committed, *addresses.last_seen}):
            if sid != self.sid and not known.is_known(sid) and sid not in self.links:
                self._dial(sid, ())

    def renew(self, own: tuple[Address, ...], addresses: ElectionAddresses) -> bool:
        """Takes the configuration that is in force now; tells whether this server has moved, so
        that its port must be opened anew.

        A link with a server that has moved leads to its old address, and is closed; if this server
        has moved, all are. Other links stay: ZooKeeper closes all of them, and dials again.
        """
        has_moved = own != self.own
        known, self.addresses, self.own = self.addresses.committed, addresses, own
        if has_moved:
            self.close()
            return True
        for sid, link in list(self.links.items()):
            now = addresses.committed.get(sid)
            if now is not None and now != known.get(sid, now):
                self._close(link)
        for sid in sorted({*self._pending, *self._last_sent}):
            self._forget_stranger(sid)
        return False

    def forget_sent(self) -> None:
        """Writes nothing a second time that was written so far: the election is over, and what it
        said of this server, that it had no data for instance, may be true no longer when another
        server connects. Who still looks asks again, and is answered."""
        self._last_sent.clear()

    def close(self) -> None:
        """Closes all links: this server ends, or starts its elections anew."""
        for link in [*self.greeting, *self.links.values()]:
            self._close(link)
        self._dialing.clear()
        self._pending.clear()
        self._last_sent.clear()

    # --- what happens ---------------------------------------------------------------

    def accepted(self, name: str) -> ElectionLink:
        """Takes a connection that somebody has opened. If too many have not said who they are, the
        oldest is closed, so that they cannot keep out one that says it at once."""
        link = ElectionLink(name, LinkState.GREETING, None)
        strangers = [each for each in self.greeting if each.sid is None]
        if len(strangers) >= MAX_HANDSHAKES:
            oldest = strangers[0]
            log.warning(
                "%s: closed, %d connections have not said who they are",
                oldest.name,
                MAX_HANDSHAKES,
                extra=about_host(oldest.name),
            )
            self._close(oldest)
        self._await(link)
        return link

    def _await(self, link: ElectionLink) -> None:
        link.deadline = self.clock.now_ms + self.handshake_timeout_ms
        self.greeting[link] = None

    def dialed(self, sid: int, name: str) -> ElectionLink:
        """Takes the news that a dial has succeeded; returns the link."""
        link = ElectionLink(name, LinkState.UP, sid)
        if sid not in self._dialing:
            self._close(link)  # close() came in between
            return link
        self.write(link, initial_message(self.sid, self.own, self.multi_address))
        exchange = None
        if self._logins is not None:
            exchange = self._logins.connector(_LinkExchange(self, link), self._host_of(sid))
        if exchange is None:
            self._logged_in(link, sid)
        else:
            link.state = LinkState.LOGGING_IN
            link.exchange = exchange
            self._await(link)
            exchange.start()
        return link

    def _host_of(self, sid: int) -> str:
        known = self.addresses.candidates(sid)
        return known[0].host if known else ""

    def _logged_in(self, link: ElectionLink, sid: int) -> None:
        """Keeps a link that was dialed, or closes it: the other side dials back."""
        self._dialing.pop(sid, None)
        if sid > self.sid:
            self._close(link)
        else:
            self._keep(link, sid)

    def passed(self, link: ElectionLink, rest: bytes) -> None:
        """Takes the news that the other side may be who it says, and what has come behind that."""
        link.exchange = None
        self.greeting.pop(link, None)
        initial, sid = link.initial, link.sid
        if initial is not None:
            link.initial = None
            self._admit(link, initial)
        else:
            assert sid is not None, link.name
            self._logged_in(link, sid)
        if rest and link.state == LinkState.UP:
            self._take(link, rest)

    def failed(self, link: ElectionLink, reason: str) -> None:
        """Closes a link on which somebody has not proved who he is."""
        log.warning("%s: %s", link.name, reason, extra=about_host(link.name))
        self._close(link)

    def dial_failed(self, sid: int) -> None:
        """Takes the news that no address of ``sid`` could be reached. Its message still waits."""
        self._dialing.pop(sid, None)
        self._forget_stranger(sid)

    def received(self, link: ElectionLink, chunk: bytes) -> None:
        """Takes bytes that have come; a peer that breaks the protocol loses its link."""
        if link.state == LinkState.CLOSED:
            return
        if link.exchange is not None:
            link.exchange.receive(chunk)
            return
        if link.state == LinkState.GREETING:
            link.greeting += chunk
            try:
                decoded = decode_initial_message(link.greeting)
            except QuorumProtocolError as error:
                self.failed(link, str(error))
                return
            if decoded is None:
                return
            initial, taken = decoded
            chunk, link.greeting = link.greeting[taken:], b""
            if self._logins is not None:
                link.state = LinkState.LOGGING_IN
                link.initial = initial
                link.exchange = self._logins.acceptor(_LinkExchange(self, link))
                link.silent_until = min(link.deadline, self.clock.now_ms + MOMENT_MS)
                if chunk:
                    link.exchange.receive(chunk)
                return
            del self.greeting[link]
            if not self._admit(link, initial) or not chunk:
                return
        self._take(link, chunk)

    def _take(self, link: ElectionLink, chunk: bytes) -> None:
        """Takes notifications that have come."""
        sid = link.sid
        assert sid is not None, link.name
        try:
            for payload in link.scanner.feed(chunk):
                self.messages.append((sid, payload))
        except QuorumProtocolError as error:
            self.failed(link, str(error))

    def written(self, link: ElectionLink) -> None:
        """Takes the news that the last message has left this process, and sends the next one."""
        link.is_busy = False
        sid = link.sid
        if sid is not None and link.state == LinkState.UP:
            self._write_pending(link, sid)

    def closed(self, link: ElectionLink) -> None:
        """Takes the news that the connection is gone. Somebody with a smaller sid, who need not log
        in, has said all he had to say: he is to be dialed."""
        initial = link.initial
        if initial is not None and initial.sid < self.sid and _may_be_silent(link):
            link.initial = None
            self._admit(link, initial)
        self._forget(link)

    def wake(self) -> None:
        """Closes the connections that have not said in time who they are."""
        now = self.clock.now_ms
        for link in [link for link in self.greeting if _due(link) <= now]:
            if _may_be_silent(link):
                self.passed(link, b"")
                continue
            log.warning(
                "%s did not %s for %d ms",
                link.name,
                "say who it is" if link.exchange is None else "go on with the login",
                self.handshake_timeout_ms,
                extra=about_host(link.name),
            )
            self._close(link)

    @property
    def deadline(self) -> int | None:
        """The monotonic ms at which ``wake`` is wanted; None while no greeting is awaited."""
        return min(map(_due, self.greeting), default=None)

    # --- rules ----------------------------------------------------------------------

    def _admit(self, link: ElectionLink, initial: InitialMessage) -> bool:
        """Takes a complete initial message; returns whether the link is kept."""
        sid = initial.sid
        if sid == self.sid:
            log.error(
                "%s says that it is server %d, which is this one: two servers have the id %d in"
                " their myid, or a server line leads here that should not",
                link.name,
                sid,
                sid,
                extra=about_host(link.name),
            )
            self._close(link)
            return False
        self._compare_ports(link, initial)
        if sid < self.sid:
            self._close(link)
            mine = self.links.get(sid)
            if mine is not None:
                self._close(mine)
            self._dial(sid, initial.reachable)
            return False
        if sid == GENERIC_OBSERVER:
            self._generic_observers += 1
            sid = -self._generic_observers
        if sid not in self.links and not self._has_room(sid):
            self._close(link)
            return False
        self._keep(link, sid)
        return True

    def _compare_ports(self, link: ElectionLink, initial: InitialMessage) -> None:
        """Logs if a server listens on other ports than its line says: it may be another server with
        the same id. Hosts are not compared, for a host may have many names."""
        known, said = self.addresses.candidates(initial.sid), initial.reachable
        if known and said and {each.port for each in known}.isdisjoint(each.port for each in said):
            log.warning(
                "%s says that it is server %d and listens for elections on %s, which is %s in the"
                " configuration here: either its configuration is another, or two servers have the"
                " id %d in their myid",
                link.name,
                initial.sid,
                ", ".join(map(str, said)),
                ", ".join(map(str, known)),
                initial.sid,
                extra=about_host(link.name),
            )

    def _keep(self, link: ElectionLink, sid: int) -> None:
        """Makes ``link`` the connection to ``sid``, and closes an older one."""
        older = self.links.get(sid)
        link.sid = sid
        link.state = LinkState.UP
        self.links[sid] = link
        if older is not None:
            self._close(older)
        if sid not in self._pending and sid in self._last_sent:
            self._pending[sid] = self._last_sent[sid]
        self._write_pending(link, sid)

    def _can_reach(self, sid: int) -> bool:
        return sid in self._dialing or bool(self.addresses.candidates(sid))

    def _dial(self, sid: int, given: tuple[Address, ...]) -> None:
        """Orders a connection, unless one is being made."""
        addresses = given or self.addresses.candidates(sid)
        if sid in self._dialing or not addresses or not self._has_room(sid):
            return
        if any(link.initial is not None and link.initial.sid == sid for link in self.greeting):
            return  # it has connected, and would do so anew
        self._dialing[sid] = None
        self._outbox.commands.append(DialElection(sid, addresses))

    def _has_room(self, sid: int) -> bool:
        """Returns whether one more connection is allowed; to a configured server it always is."""
        if self.addresses.is_known(sid):
            return True
        count = sum(not self.addresses.is_known(each) for each in [*self.links, *self._dialing])
        if count >= MAX_STRANGERS:
            log.warning(
                "no connection with server %d: %d servers outside the configuration have one",
                sid,
                count,
                extra=about(STRANGERS),
            )
        return count < MAX_STRANGERS

    def _write_pending(self, link: ElectionLink, sid: int) -> None:
        payload = self._pending.pop(sid, None)
        if payload is not None:
            self._last_sent[sid] = payload
            link.is_busy = True
            self.write(link, frame(payload))

    def write(self, link: ElectionLink, data: bytes) -> None:
        """Writes bytes to a link."""
        self._outbox.commands.append(SendVote(link, data))

    def _close(self, link: ElectionLink) -> None:
        if link.state != LinkState.CLOSED:
            self._outbox.commands.append(CloseElection(link))
            self._forget(link)

    def _forget(self, link: ElectionLink) -> None:
        if link.exchange is not None:
            link.exchange.stop()
            link.exchange = None
            if link.sid is not None:
                self._dialing.pop(link.sid, None)
                self._forget_stranger(link.sid)
        link.state = LinkState.CLOSED
        link.greeting = b""
        link.initial = None
        self.greeting.pop(link, None)
        sid = link.sid
        if sid is not None and self.links.get(sid) is link:
            del self.links[sid]
            self._forget_stranger(sid)

    def _forget_stranger(self, sid: int) -> None:
        """Forgets the messages for a server that is not in the configuration; if it still wants an
        answer, it connects again."""
        if not self.addresses.is_known(sid) and sid not in self.links:
            self._pending.pop(sid, None)
            self._last_sent.pop(sid, None)


class _LinkExchange:
    """What an exchange asks of its link."""

    def __init__(self, links: ElectionLinks, link: ElectionLink) -> None:
        self._links: ElectionLinks = links
        self._link: ElectionLink = link
        self.name: str = link.name

    def exchange_sends(self, data: bytes) -> None:
        self._links.write(self._link, data)

    def exchange_passed(self, rest: bytes) -> None:
        self._links.passed(self._link, rest)

    def exchange_failed(self, reason: str) -> None:
        self._links.failed(self._link, reason)


def _due(link: ElectionLink) -> int:
    """Returns the monotonic ms at which a link that is not kept is to be looked at."""
    return link.silent_until if _may_be_silent(link) else link.deadline


def _may_be_silent(link: ElectionLink) -> bool:
    """Returns whether who has connected need not log in, and has not begun to."""
    exchange = link.exchange
    return isinstance(exchange, AcceptorExchange) and exchange.may_be_silent
