"""A pytest plugin: the servers of kazoo's tests get their stores as PEM instead of JKS.

Shell.  Loaded in the suite's own environment, where there is nothing else of this project. The
files keep their names; ssl.keyStore.type and ssl.trustStore.type say what they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from kazoo.testing.common import ZookeeperCluster
from OpenSSL import crypto

TYPES: Final = ("ssl.keyStore.type=PEM", "ssl.trustStore.type=PEM")


class Pem:
    """What kazoo's harness saves as a store: certificates, and a key, if there is one."""

    def __init__(self, certificate: crypto.X509, key: crypto.PKey | None = None) -> None:
        self._certificate = certificate
        self._key = key

    def save(self, path: str, password: str) -> None:
        """Writes the file; the key is encrypted, as it is in the JKS store."""
        text = crypto.dump_certificate(crypto.FILETYPE_PEM, self._certificate)
        if self._key is not None:
            text += crypto.dump_privatekey(
                crypto.FILETYPE_PEM, self._key, "aes-256-cbc", password.encode()
            )
        Path(path).write_bytes(text)


class PemCluster(ZookeeperCluster):  # type: ignore[misc]  # kazoo has no types
    """kazoo's cluster, with such stores."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options["configuration_entries"] = [*options["configuration_entries"], *TYPES]
        super().__init__(*arguments, **options)

    def perform_ssl_certs_generation(self) -> None:
        super().perform_ssl_certs_generation()
        made = self._ssl_configuration
        made["truststore"] = Pem(made["ca_cert"])
        made["keystore"] = Pem(made["server_cert"], made["server_key"])


def pytest_configure() -> None:
    """Has the harness make these clusters."""
    import kazoo.testing.harness

    kazoo.testing.harness.ZookeeperCluster = PemCluster
