"""Where members of an ensemble take this client.

Shell. A server line says it, but not where a member has its secureClientPort, which is no part of
an ensemble's configuration. So with TLS there are two cases. If one of the servers that were named
is at the client port of its line, client ports take TLS, and the lines are right for all. Otherwise
a server that was named counts for the member whose id it says (``conf``), or else whose host it is
on; all others are asked at the same port as the first that was named, which is right wherever all
members have the same secureClientPort. Who is not found there is asked once for its
secureClientPort (``conf``), without TLS, at the client port of its line. That tells nobody
anything, and a wrong answer leads to a server that has to prove by its certificate who it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from pyzk.cli.client_addresses import ClientAddress
from pyzk.cli.members_change import client_place
from pyzk.cli.survey import SurveyedServer, secure_port_of
from pyzk.config.members import QuorumServer


class Places:
    """Knows where to ask whom."""

    def __init__(self, given: Sequence[ClientAddress], *, has_tls: bool) -> None:
        self.given = list(given)
        self.has_tls = has_tls
        self._is_unified = False
        """Whether client ports take TLS."""
        self._by_id: dict[int, ClientAddress] = {}
        self._was_asked: dict[int, None] = {}
        """The members that were asked for their secureClientPort."""

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

    async def ask_the_lost(
        self,
        members: Iterable[QuorumServer],
        servers: Iterable[SurveyedServer],
        timeout_s: float,
    ) -> bool:
        """Ask those members for their secureClientPort that are not where they were looked for, as
        ``servers`` show; return whether one was found."""
        if not self.has_tls or self._is_unified:
            return False
        answers = {each.address: each for each in servers}
        lost = [member for member in members if self._is_lost(member, answers)]
        self._was_asked |= dict.fromkeys(member.sid for member in lost)
        plain = [ClientAddress(*where) for member in lost if (where := client_place(member))]
        ports = await asyncio.gather(
            *(
                secure_port_of(where, member.sid, timeout_s)
                for member, where in zip(lost, plain, strict=True)
            )
        )
        for member, where, port in zip(lost, plain, ports, strict=True):
            if port:
                self._by_id[member.sid] = ClientAddress(where.host, port)
        return any(ports)

    def _is_lost(self, member: QuorumServer, answers: dict[ClientAddress, SurveyedServer]) -> bool:
        where = self.of(member)
        answer = None if where is None else answers.get(where)
        if answer is None or member.sid in self._by_id or member.sid in self._was_asked:
            return False
        is_other = answer.server_id is not None and answer.server_id != member.sid
        return client_place(member) is not None and (answer.problem is not None or is_other)
