"""Which certificates come in, and as whom: the same clients to the original and to this server.

Shell.

`python -m conformance.certificates` starts both with the same zoo.cfg and stores, lets clients with
certificates of every kind connect, and compares who is taken and which identities whoAmI names;
`record` writes what 3.9.3 does into tests/testdata/tls, which a test compares without Java. The
scenarios with OCSP are those of 3.8.0.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from conformance import oracle, wire
from conformance.frames import Address
from conformance.revoked import SILENT_LISTED, asked_clients
from conformance.secured import client_context, secure_server, stores
from conformance.servers import Launcher, pyzk_launcher
from tests.certificates import Authority, Issued, named
from tests.ocsp import Responder

RECORDING: Final = Path(__file__).parent.parent / "tests/testdata/tls/certificates.json"
WHO_AM_I: Final = 107
OUT: Final = "out"

SCENARIOS: Final[Mapping[str, Mapping[str, str]]] = {
    "need": {"ssl.clientAuth": "need"},
    "want": {"ssl.clientAuth": "want"},
    "none": {"ssl.clientAuth": "none"},
    "crl": {"ssl.crl": "true"},
    "super": {"X509AuthenticationProvider.superUser": "CN=right"},
    "middle": {"trusted": "middle"},
    "twelve": {"ssl.enabledProtocols": "TLSv1.2"},
    "ocsp": {"ssl.ocsp": "true"},
    "ocsp and crl": {"ssl.ocsp": "true", "ssl.crl": "true"},
}
"""Name -> keys of zoo.cfg; ``trusted`` is none of them, and chooses the trust store."""

OF_RESPONDERS: Final = ("ocsp", "ocsp and crl")
"""Scenarios with the clients whose certificates name a responder; all others go without. 3.9.3
keeps everybody out there: its Netty has no OCSP with the provider of the JDK. So 3.8.0 is asked.
"""

KNOWN: Final[Mapping[str, str]] = {
    "of an old authority": "Java does not look at the dates in a trust store",
    "trusted itself, old": "likewise",
}
"""Certificate -> why this server does not take it, though the original does."""
TAKEN: Final[Mapping[str, str]] = {
    SILENT_LISTED: "the list counts after 5 seconds; Java waits for longer than a handshake takes",
}
"""Certificate -> why this server takes it, though the original does not."""


@attrs.frozen
class Cast:
    """All that the clients show, and what the servers have."""

    root: Authority
    middle: Authority
    old: Authority
    pinned: Issued
    server: Issued
    clients: Mapping[str, Issued | None]
    asked: Mapping[str, Issued | None]
    """Those whose certificates name a responder."""
    responder: Responder

    def of(self, scenario: str) -> Mapping[str, Issued | None]:
        """Returns the clients of a scenario."""
        return self.asked if scenario in OF_RESPONDERS else self.clients

    def trusted(self, which: str) -> bytes:
        """Returns the trust store."""
        if which == "middle":
            return self.middle.certificate_pem + self.pinned.certificate_pem
        return b"".join(each.certificate_pem for each in (self.root, self.old, self.pinned))


def cast(folder: Path, responder: Responder) -> Cast:
    """Makes all certificates, and the lists of those revoked."""
    file = folder / "revoked.crl"
    lists = file.as_uri()
    root = Authority("Root")
    middle, old = Authority("Middle", root), Authority("Old", days=(-20, -1))
    pinned = Authority("pinned", days=(-20, -1))
    revoked = root.issue("revoked", crl=lists)
    odd = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'a, "b"; c'),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "me@example"),
            x509.NameAttribute(NameOID.COMMON_NAME, " ödd "),
        ]
    )
    clients: dict[str, Issued | None] = {
        "right": root.issue("right"),
        "none": None,
        "expired": root.issue("x", days=(-9, -1)),
        "not yet valid": root.issue("x", days=(1, 9)),
        "unknown authority": Authority("Other").issue("x"),
        "another key of the authority": Authority("Root").issue("x"),
        "for another host": root.issue("x", names=["elsewhere.example", "10.9.9.9"]),
        "through a middle": middle.issue("x"),
        "of an old authority": old.issue("x"),
        "trusted itself, old": pinned,
        "for clients": root.issue("x", purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]),
        "for servers": root.issue("x", purposes=[ExtendedKeyUsageOID.SERVER_AUTH]),
        "not revoked": root.issue("x", crl=lists),
        "revoked": revoked,
        "list is missing": root.issue("x", crl=f"{lists}.missing"),
        "odd subject": root.issue(odd),
        "signs itself": Authority("right"),
        "no subject": root.issue(x509.Name([]), names=["a.example"]),
        "several names": root.issue(
            x509.Name([*named("a"), *named("b"), x509.NameAttribute(NameOID.USER_ID, "u")])
        ),
    }
    server = root.issue("server", names=["localhost", "127.0.0.1"])
    file.write_bytes(root.revoke(revoked))
    asked = asked_clients(root, responder, folder)
    return Cast(root, middle, old, pinned, server, clients, asked, responder)


# --- one client -----------------------------------------------------------------------


def outcome(address: Address, own: Issued | None) -> str:
    """Returns who a client is for a server, sorted; OUT if it is not taken."""
    try:
        with (
            socket.create_connection(address, 20) as plain,
            client_context(own).wrap_socket(plain) as link,
        ):
            link.sendall(wire.frame(wire.connect(10000, 0, bytes(16), 0, False)))
            if not _frame(link):
                return OUT
            link.sendall(wire.frame(WHO_AM_I.to_bytes(8, "big")))
            return ", ".join(sorted(_identities(_frame(link)[16:])))
    except OSError:
        return OUT


def _frame(link: ssl.SSLSocket) -> bytes:
    """Returns the next frame; b"" if the connection ends before it."""
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        part = link.recv(1 << 16)
        if not part:
            return b""
        data += part
    return data[4:]


def _identities(body: bytes) -> Iterator[str]:
    reader = wire.Reader(body, 0)
    for _ in range(reader.i32()):
        yield f"{reader.string()}:{reader.string()}"


# --- both servers ---------------------------------------------------------------------


def outcomes(launcher: Launcher, scenario: str, people: Cast, folder: Path) -> dict[str, str]:
    """Returns certificate -> outcome at a server that is started for this scenario."""
    config = dict(SCENARIOS[scenario])
    trusted = people.trusted(config.pop("trusted", ""))
    config |= stores(folder, "server", people.server, trusted).settings()
    with secure_server(launcher, config) as (_, address):
        return {name: outcome(address, own) for name, own in people.of(scenario).items()}


def _original(scenario: str) -> Launcher:
    return oracle.launcher("3.8" if scenario in OF_RESPONDERS else "3.9")


def everything(launcher: Callable[[str], Launcher]) -> dict[str, dict[str, str]]:
    """Returns scenario -> certificate -> outcome, at the server of each scenario."""
    with (
        tempfile.TemporaryDirectory(prefix="pyzk-certificates-") as name,
        Responder() as responder,
    ):
        folder = Path(name)
        people = cast(folder, responder)
        return {each: outcomes(launcher(each), each, people, folder) for each in SCENARIOS}


def expected(scenario: str, certificate: str, theirs: str) -> str:
    """Returns what this server says where the original says ``theirs``."""
    if certificate in TAKEN:
        return "ip:127.0.0.1, x509:CN=x"
    return OUT if certificate in KNOWN and scenario != "none" else theirs


def record() -> None:
    """Writes what ZooKeeper does."""
    RECORDING.parent.mkdir(parents=True, exist_ok=True)
    found = everything(_original)
    RECORDING.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def compare() -> int:
    """Prints where the two differ; returns the exit status."""
    theirs, ours = everything(_original), everything(lambda _: pyzk_launcher())
    differences = 0
    for scenario, each in theirs.items():
        for certificate, said in each.items():
            found = ours[scenario][certificate]
            if found != expected(scenario, certificate, said):
                differences += 1
                print(f"{scenario}, {certificate}: ZooKeeper says {said!r}, pyzk {found!r}")
    count = sum(map(len, theirs.values()))
    print(f"{count} clients, {differences} differences; known ones: {', '.join((*KNOWN, *TAKEN))}")
    return 1 if differences else 0


ACTIONS: Final[dict[str, Callable[[], int | None]]] = {"compare": compare, "record": record}


def main(arguments: list[str] | None = None) -> int:
    """Compares or records; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m conformance.certificates")
    parser.add_argument("action", nargs="?", choices=tuple(ACTIONS), default="compare")
    return ACTIONS[parser.parse_args(arguments).action]() or 0


if __name__ == "__main__":
    sys.exit(main())
