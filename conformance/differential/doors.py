"""Ways into a server for the differential run: plaintext, TLS with a certificate, a login by SASL.

Shell.

Which identity a client comes in with hangs on its number: the first two have one, the third none.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from puresasl.client import SASLClient

from conformance import secured, wire
from conformance.frames import Address, Client, ClosedError
from conformance.servers import Launcher, Server
from pyzk.runtime.free_ports import free_port
from tests.certificates import Authority

NAMES: Final = ("alice", "bob", None)
_SECRETS: Final = re.compile(rb'(nonce=")[^"]*|(rspauth=)\w+')
"""What of a token is another one each time."""


class Door:
    """The plaintext port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def server(
        self, launcher: Launcher, config: Mapping[str, object], properties: Mapping[str, str]
    ) -> Server:
        """Returns a server that has this way in; it is not yet started."""
        return Server(launcher, config, properties)

    def address(self, server: Server) -> Address:
        """Returns where clients come in at a server that runs."""
        return server.address

    def client(self, address: Address, number: int) -> Client:
        """Returns the client of this number, connected, without a session."""
        return Client(address)

    def enter(self, client: Client, number: int) -> list[object]:
        """Lets a client with a session prove who it is; returns what it was answered."""
        return []


class TlsDoor(Door):
    """The secure port, where a certificate is an identity."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        authority = Authority()
        owned = [None if name is None else authority.issue(name) for name in NAMES]
        self._contexts: list[ssl.SSLContext] = [secured.client_context(one) for one in owned]
        server = authority.issue("server", names=["localhost", "127.0.0.1"])
        self._stores = secured.stores(folder, "server", server, authority.certificate_pem)

    def server(
        self, launcher: Launcher, config: Mapping[str, object], properties: Mapping[str, str]
    ) -> Server:
        secure = {
            "secureClientPort": free_port(),
            "secureClientPortAddress": "127.0.0.1",
            "serverCnxnFactory": secured.NETTY,
            "ssl.clientAuth": "want",
            "authProvider.1": secured.SASL_PROVIDER,
            **self._stores.settings(),
        }
        return super().server(launcher, {**config, **secure}, properties)

    def address(self, server: Server) -> Address:
        port = int(server.config["secureClientPort"])
        secured.wait_for_port(server, port)
        return "127.0.0.1", port

    def client(self, address: Address, number: int) -> Client:
        return Client(address, context=self._contexts[number % len(NAMES)])


class SaslDoor(Door):
    """The plaintext port, where clients log in by DIGEST-MD5."""

    def server(
        self, launcher: Launcher, config: Mapping[str, object], properties: Mapping[str, str]
    ) -> Server:
        keys, more = secured.sasl_settings(secured.login_file(self.folder))
        return super().server(launcher, {**config, **keys}, {**properties, **more})

    def enter(self, client: Client, number: int) -> list[object]:
        name = NAMES[number % len(NAMES)]
        return [] if name is None else log_in(client, name, secured.USERS[name])


def log_in(client: Client, user: str, password: str) -> list[object]:
    """Exchanges the tokens of a login; returns the answers, the last one if it fails."""
    mechanism = SASLClient(
        "zk-sasl-md5", "zookeeper", "DIGEST-MD5", username=user, password=password
    )
    said: list[object] = []
    token = b""
    for _ in range(2):
        try:
            answer = client.call("sasl", wire.buffer(token))
        except ClosedError as error:
            return [*said, str(error)]
        given = wire.Reader(answer.body).buffer() if answer.body else b"no body"
        said.append((answer.err, answer.zxid, None if given is None else plain_token(given)))
        if answer.err or given is None:
            return said
        if not token:
            token = mechanism.process(given)
    return said


def plain_token(token: bytes) -> str:
    """Returns a token without what is another one each time."""
    return _SECRETS.sub(rb"\1\2", token).decode("utf-8", "backslashreplace")


DOORS: Final[Mapping[str, Callable[[Path], Door]]] = {
    "plain": Door,
    "tls": TlsDoor,
    "sasl": SaslDoor,
}
