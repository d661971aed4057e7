"""Our own tools with the original, by TLS and with logins: `pyzk status`, `pyzk members`, fixtures.

Shell.

`python -m conformance.tools` starts 3.9.3 and this server, one after the other, as an ensemble of
one with nothing but a secure port, and with users of SASL. Each command is given to both, with the
right certificate, the wrong one, none, with right and wrong passwords, and must end alike.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from click.testing import CliRunner
from kazoo.client import KazooClient

from conformance import oracle, secured
from pyzk.cli import main as pyzk
from pyzk.cli.access_options import SASL_PASSWORD_VARIABLE
from pyzk.runtime.free_ports import free_port
from pyzk.testing import Certificates, ClientCertificate
from pyzk.testing.external.command import CommandServer

SUPER: Final = "CN=super"
PATIENCE_S: Final = 30.0
_ADD: Final = ("members", "add", "--observer", "--dry-run")
_NEW: Final = "9=127.0.0.1:2889:3889;2189"


class Case(NamedTuple):
    """One command, and how it ends with either server."""

    name: str
    words: tuple[str, ...]
    code: int
    certificate: str = "CN=alice"
    """The subject of what the client shows; "" for nothing, "stranger" for another authority's."""
    login: str = ""
    """USER:PASSWORD, "" without a login."""
    said: str = ""


CASES: Final = (
    Case("status", ("status",), 0, said="healthy"),
    Case("status without a certificate", ("status",), 3, "", said="--cert FILE"),
    Case("status of a stranger", ("status",), 3, "stranger", said="certificate of --cert"),
    Case("list", ("members", "list"), 0, said="1 voter"),
    Case("a change of nobody", _ADD, 4, said="by --sasl or --cert for a superuser"),
    Case("a change by a certificate", _ADD, 0, SUPER),
    Case("a change after a login", _ADD, 0, login="alice:a-secret"),
    Case("a change of another user", _ADD, 4, login="bob:b-secret"),
    Case("a wrong password", _ADD, 3, login="alice:wrong", said="the login by SASL has failed"),
    Case("an unknown user", _ADD, 3, login="eve:x", said="the login by SASL has failed"),
)


@contextmanager
def running(command: list[str], folder: Path, authority: Certificates) -> Iterator[CommandServer]:
    """Runs a server, an ensemble of one."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "myid").write_text("1\n")
    keys: dict[str, object] = {
        "server.1": f"127.0.0.1:{free_port()}:{free_port()}",
        "standaloneEnabled": "false",
        "reconfigEnabled": "true",
        "tickTime": 200,
        "initLimit": 50,
        "syncLimit": 10,
        "X509AuthenticationProvider.superUser": SUPER,
        "superUser": "alice",
        "authProvider.sasl": secured.SASL_PROVIDER,
        "authProvider.x509": "org.apache.zookeeper.server.auth.X509AuthenticationProvider",
        "fips-mode": "false",
    }
    with CommandServer(shlex.join(command), folder, options=keys, tls=authority) as server:
        yield server


def options(case: Case, server: CommandServer, own: ClientCertificate) -> list[str]:
    """The options by which a client comes in."""
    where = [server.connect_string] if case.words[0] == "status" else ["-s", server.connect_string]
    found = [*case.words, *where, "--tls", "--ca", server.tls.ca_file]
    if own.cert_file is not None and own.key_file is not None:
        found += ["--cert", own.cert_file, "--key", own.key_file]
    if case.login:
        found += ["--sasl", f"digest:{case.login.partition(':')[0]}"]
    return [*found, _NEW] if case.words == _ADD else found


def outcome(
    case: Case, server: CommandServer, authority: Certificates, stranger: Certificates
) -> str:
    """Gives a command to a server; returns what is wrong with its end, "" if nothing."""
    if case.certificate == "stranger":
        own = stranger.client()
    else:
        own = authority.client(case.certificate) if case.certificate else authority.anonymous
    os.environ[SASL_PASSWORD_VARIABLE] = case.login.partition(":")[2]
    done = CliRunner().invoke(pyzk, options(case, server, own))
    text = " ".join(done.output.split())
    if done.exit_code == case.code and case.said in text:
        return ""
    return f"code {done.exit_code} in place of {case.code}: {text}"


def fixtures(server: CommandServer) -> str:
    """Has the fixtures' own client and kazoo work with a server; returns what is wrong."""
    client = KazooClient(**server.kazoo_options("CN=alice"))
    client.start(PATIENCE_S)
    client.create("/a", b"1", ephemeral=True)
    server.wait_for_node("/a", data=b"1")
    server.expire_session(client)
    server.wait_for_node("/a", exists=False)
    client.stop()
    client.close()
    return "" if server.tree() == {} else f"left: {server.tree()}"


def main() -> int:
    """Tries all commands with both servers; returns the exit status."""
    authority, stranger = Certificates(), Certificates()
    problems = 0
    with tempfile.TemporaryDirectory(prefix="pyzk-tools-") as name:
        folder = Path(name)
        properties = {secured.LOGIN_FILE: str(secured.login_file(folder))}
        started = {
            "3.9.3": oracle.find("3.9").java(
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", "{cfg}", properties=properties
            ),
            "pyzk": [
                *(sys.executable, "-m", "pyzk", "serve", "{cfg}"),
                *(f"-D{key}={value}" for key, value in properties.items()),
            ],
        }
        for kind, command in started.items():
            with running(command, folder / kind, authority) as server:
                found = {each.name: outcome(each, server, authority, stranger) for each in CASES}
                found["fixtures"] = fixtures(server)
            for case, problem in found.items():
                problems += bool(problem)
                print(f"{kind}: {case}: {problem or 'as it should'}")
    print(f"{problems} of {2 * (len(CASES) + 1)} end otherwise")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
