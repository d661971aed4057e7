"""Limits what waits for clients that do not read: for each one, for all of them, after the end.

Shell. Only connections whose socket takes no more at the moment are known here (*choked* ones);
what the others hold is below the transport's high-water mark. A choked connection is served no
further requests, but its last reply may be large, and watch events go on. The original has no such
limits: its heap runs out.
"""

from __future__ import annotations

from typing import Final, Protocol

UNREAD_LIMIT_BYTES: Final = 64 << 20
"""The most bytes that wait for one client; beyond it the connection is dropped."""
UNREAD_TOTAL_BYTES: Final = 256 << 20
"""The most bytes that wait for all clients; beyond it the connection with the most is dropped."""
LINGERING_LIMIT: Final = 100
"""The most closed connections whose last bytes are not read yet; beyond it the oldest is
dropped."""


class Reader(Protocol):
    """A connection, as far as this module looks at it."""

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait for the socket."""
        ...

    def drop(self, reason: str | None) -> None:
        """Close the socket at once, and log the reason if the connection was still open."""
        ...


class Unread:
    """Knows what waits for the clients of one server."""

    def __init__(
        self,
        each_bytes: int = UNREAD_LIMIT_BYTES,
        total_bytes: int = UNREAD_TOTAL_BYTES,
        lingering: int = LINGERING_LIMIT,
    ) -> None:
        self.each_bytes = each_bytes
        self.total_bytes = total_bytes
        self.lingering = lingering
        self._sizes: dict[Reader, int] = {}
        """The choked connections -> their unread bytes when they were last written to."""
        self._total = 0
        self._lingering: dict[Reader, None] = {}

    def grew(self, reader: Reader) -> None:
        """Note that more was written to a choked connection; drop it, or the one with the most, if
        that is too much."""
        size = reader.unread_bytes
        if size > self.each_bytes:
            self.forget(reader)
            reader.drop(f"more than {self.each_bytes} bytes that the client did not read")
            return
        self._total += size - self._sizes.get(reader, 0)
        self._sizes[reader] = size
        if self._total > self.total_bytes:
            self._shrink()

    def _shrink(self) -> None:
        """Ask again, because clients have read meanwhile; then drop the one with the most as long
        as needed."""
        sizes = self._sizes = {reader: reader.unread_bytes for reader in self._sizes}
        self._total = sum(sizes.values())
        while self._total > self.total_bytes:
            worst = max(sizes, key=sizes.__getitem__)
            size = sizes[worst]
            self.forget(worst)
            worst.drop(
                f"{size} bytes that the client did not read, the most of all clients,"
                f" whose limit is {self.total_bytes} together"
            )

    def forget(self, reader: Reader) -> None:
        """Forget a connection: its client has read everything, or the socket is gone."""
        self._total -= self._sizes.pop(reader, 0)
        self._lingering.pop(reader, None)

    def linger(self, reader: Reader) -> None:
        """Note that a closed connection has bytes left for its client."""
        self._lingering[reader] = None
        if len(self._lingering) > self.lingering:
            oldest = next(iter(self._lingering))
            self.forget(oldest)
            oldest.drop(None)
