"""Where members of an ensemble take this client.

Shell. A server line says it, but not where a member has its secureClientPort, which is no part of
an ensemble's configuration. So with TLS there are two cases. If one of the servers that were named
is at the client port of its line, client ports take TLS, and the lines are right for all. Otherwise
a server that was named counts for the member whose id it says (``conf``), or else whose host it is
on; all others are asked at the same port as the first that was named, which is right wherever all
members have the same secureClientPort.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pyzk.cli.client_addresses import ClientAddress
from pyzk.cli.members_change import client_place
from pyzk.cli.survey import SurveyedServer
from pyzk.config.members import QuorumServer


class Places:
    """Knows where to ask whom."""

    def __init__(self, given: Sequence[ClientAddress], *, has_tls: bool) -> None:
        self.given = list(given)
        self.has_tls = has_tls
        self._is_unified = False
        """Whether client ports take TLS."""
        self._by_id: dict[int, ClientAddress] = {}

    def learn(self, servers: Iterable[SurveyedServer]) -> None:
        """Take in which of the servers that were asked is which member."""
        for each in servers:
            if each.server_id is not None and each.address in self.given:
                self._by_id.setdefault(each.server_id, each.address)

    def of(self, member: QuorumServer) -> ClientAddress | None:
        """Return where a member takes this client; None if nobody knows."""
        where = client_place(member)
        plain = None if where is None else ClientAddress(*where)
        if not self.has_tls or self._is_unified:
            return plain
        if member.sid in self._by_id:
            return self._by_id[member.sid]
        host = member.addresses[0].host if plain is None else plain.host
        others = self._by_id.values()
        there = [each for each in self.given if each.host == host and each not in others]
        return there[0] if len(there) == 1 else ClientAddress(host, self.given[0].port)

    def all_of(self, members: Iterable[QuorumServer]) -> list[ClientAddress]:
        """Return where to ask members and the servers that were named."""
        members = list(members)
        if any(client_place(member) in self.given for member in members):
            self._is_unified = True
        found = dict.fromkeys(each for each in map(self.of, members) if each is not None)
        return [*(found | dict.fromkeys(self.given))]
