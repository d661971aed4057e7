"""What a server knows of the process and the machine that it runs on.

Pure. The world makes one and gives it to the peer; four-letter words show it.

ZooKeeper: Environment, OSMXBean, ZKDatabase.getLogDirSize
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pyzk.persistence.report import StorageReport

if TYPE_CHECKING:
    from pyzk.auth.sasl.gssapi import Kerberos

NO_PORT: Final = -1
"""What stands for a port that a server does not have."""


class Host:
    """The surroundings of one server; the defaults are those of a server without a machine."""

    def __init__(
        self,
        client_address: tuple[str, int] = ("", 0),
        storage_report: Callable[[], StorageReport] = StorageReport,
        file_descriptors: Callable[[], tuple[int, int]] = lambda: (-1, -1),
        environment: Callable[[], Mapping[str, str]] = dict,
        kerberos: Kerberos | None = None,
        user: str = "",
        tls_handshakes: Callable[[], int] = lambda: 0,
        sync_wait_ms: Callable[[], int] = lambda: 0,
        process: Callable[[], Mapping[str, float]] = dict,
        versions: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.client_address: tuple[str, int] = client_address
        """The address and the port where clients connect; where the configuration says port 0, this
        is the port that the system chose. The port is NO_PORT without a client port."""
        self.secure_client_port: int = NO_PORT
        """The port where clients connect with TLS only."""
        self.tls_handshakes: Callable[[], int] = tls_handshakes
        """Returns how many handshakes of TLS with clients are under way."""
        self.storage_report: Callable[[], StorageReport] = storage_report
        """Returns what the storage says of itself now."""
        self.file_descriptors: Callable[[], tuple[int, int]] = file_descriptors
        """Returns how many file descriptors this process has open and how many it may have, -1 for
        unknown."""
        self.environment: Callable[[], Mapping[str, str]] = environment
        """Returns the values of envi by the names in ``fourletter.ENVIRONMENT_KEYS``.

        The values are honest for Python, e.g. java.version ``<none: CPython 3.11.7>``, java.vendor
        ``<none>``, java.home ``sys.prefix``, java.class.path ``sys.path`` joined by colons.
        The word itself adds zookeeper.version, and shows a key without value as ``<NA>``.
        """
        self.sync_wait_ms: Callable[[], int] = sync_wait_ms
        """Returns for how long the disk has been at the sync of the log that is under way."""
        self.kerberos: Kerberos | None = kerberos
        """Kerberos; None where no login asks for it."""
        self.process: Callable[[], Mapping[str, float]] = process
        """Returns the numbers of this process by the names in ``metric_families.PROCESS_KINDS``;
        those that the system does not tell are missing."""
        self.versions: Callable[[], Mapping[str, str]] = versions
        """Returns the versions of what runs here, by the name of the label that has them."""
        self.user: str = user
        """The name of the user whom the server runs as; the audit log has it."""
