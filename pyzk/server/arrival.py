"""What a world learns of a client when it connects, which it hands to ``Peer.accept``.

Pure. ZooKeeper: what ServerCnxn and the session of TLS tell of the other side.
"""

from __future__ import annotations


class Arrival:
    """One client that has connected, after the handshake of TLS if there is one."""

    __slots__ = (
        "certificates",
        "cipher",
        "descriptor",
        "host",
        "is_on_secure_port",
        "is_secure",
        "port",
    )

    def __init__(
        self,
        host: str,
        port: int,
        *,
        descriptor: int = -1,
        is_secure: bool = False,
        is_on_secure_port: bool = False,
        certificates: tuple[bytes, ...] = (),
        cipher: str = "",
    ) -> None:
        self.host: str = host
        self.port: int = port
        """The client's own port."""
        self.descriptor: int = descriptor
        """The number of the socket; -1 where there is none."""
        self.is_secure: bool = is_secure
        """Whether the bytes go through TLS."""
        self.is_on_secure_port: bool = is_on_secure_port
        """Whether the client has come to secureClientPort. With client.portUnification there is
        TLS on the other port, too."""
        self.certificates: tuple[bytes, ...] = certificates
        """What the client has shown, as DER, its own first; empty if it has shown none."""
        self.cipher: str = cipher
        """The cipher suite of TLS; empty without TLS."""
