"""Who comes in, and as whom, with real clients: certificates and passwords, right and wrong.

Shell.

The Java client 3.9 and 3.8, the C client and kazoo try the same at the original and at this server,
and what becomes of each must be the same. Certificates in every detail are a matter of
conformance.certificates, with a client that shows what it is told to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final

import attrs
import kazoo.exceptions
from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL

from conformance import oracle, secured
from conformance.certificates import Cast, cast
from conformance.frames import Address
from conformance.oracle import OracleMissingError
from conformance.secured import JKS, PEM, USERS, Stores
from conformance.servers import Launcher, Server
from tests import kdc
from tests.certificates import Authority, Issued
from tests.ocsp import Responder

LOGINS: Final = Path(__file__).parent / "Logins.java"
PATIENCE_S: Final = 40.0
TRIES: Final = {"max_tries": 1, "delay": 0.05, "backoff": 1}
BROKEN: Final = 2
"""How many broken connections count as a refusal, for all clients go on trying for ever."""
PROTOCOLS: Final = {"ssl.enabledProtocols": "TLSv1.2,TLSv1.3"}
"""3.9.3 offers 1.3 only, which the Java client 3.8 does not."""
PIPE: Final = "an end by SIGPIPE"
"""What becomes of the C client now and then when the original refuses its certificate: it writes on
to a socket that was closed at once. At this server it reads why it is refused, and goes on."""
OUT, REFUSED, IN = "out", "the login is refused", "in"


@attrs.frozen
class Attempt:
    """What one client tries: by TLS with ``stores``, or by plaintext; with a login, or none."""

    name: str
    address: Address
    stores: Stores | None = None
    own: Issued | None = None
    login: tuple[str, str] | None = None
    """A user and its password, or a principal and its key table."""
    kerberos: Mapping[str, str] | None = None
    """The environment of a realm, if the login is Kerberos."""


Outcomes = dict[str, str]


def _plain(name: str) -> str:
    return re.sub("[^a-z]", "-", name.lower())


# --- the Java client -------------------------------------------------------------------


def java(version: str) -> Callable[[Sequence[Attempt], Path], Outcomes]:
    """Returns how the Java client of a version tries."""

    def run(attempts: Sequence[Attempt], folder: Path) -> Outcomes:
        properties = java_properties(attempts, folder)
        command = oracle.find(version).java(str(LOGINS), properties=properties)
        lines = "".join("\t".join(_fields(attempt)) + "\n" for attempt in attempts)
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=180)
        names = {attempt.name for attempt in attempts}
        pairs = (line.partition("\t") for line in done.stdout.splitlines())
        found = {name: outcome for name, _, outcome in pairs if name in names}  # and not the log
        if missing := names - set(found):
            raise AssertionError(f"nothing of {missing}: {done.stderr[-3000:]}")
        return found

    return run


def java_properties(attempts: Sequence[Attempt], folder: Path) -> dict[str, str]:
    """Writes the login file; returns what the virtual machine is told."""
    login = folder / "client-login.conf"
    login.write_text("".join(_section(attempt) for attempt in attempts if attempt.login))
    properties = {secured.LOGIN_FILE: str(login), "zookeeper.fips-mode": "false"}
    properties["zookeeper.sasl.client.canonicalize.hostname"] = "false"
    for attempt in attempts:
        if attempt.kerberos is not None:
            properties["java.security.krb5.conf"] = attempt.kerberos["KRB5_CONFIG"]
    return properties


def java_settings(attempt: Attempt) -> dict[str, str]:
    """Returns what one Java client is told."""
    settings = {
        "zookeeper.sasl.client": "true" if attempt.login else "false",
        "zookeeper.sasl.clientconfig": _context(attempt),
    }
    if attempt.stores is not None:
        settings |= attempt.stores.settings("zookeeper.ssl.")
        settings["zookeeper.client.secure"] = "true"
        settings["zookeeper.clientCnxnSocket"] = "org.apache.zookeeper.ClientCnxnSocketNetty"
    return settings


def _context(attempt: Attempt) -> str:
    return f"Client_{re.sub('[^a-z]', '_', attempt.name)}" if attempt.login else "-"


def _section(attempt: Attempt) -> str:
    assert attempt.login is not None
    user, secret = attempt.login
    module = f'org.apache.zookeeper.server.auth.DigestLoginModule required username="{user}"'
    options = f'password="{secret}"'
    if attempt.kerberos is not None:
        module = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true"
        options = f'useTicketCache=false keyTab="{secret}" principal="{user}"'
    return f"{_context(attempt)} {{\n    {module} {options};\n}};\n"


def _fields(attempt: Attempt) -> list[str]:
    host, port = attempt.address
    pairs = [f"{key}={value}" for key, value in java_settings(attempt).items()]
    return [attempt.name, f"{host}:{port}", "logs in" if attempt.login else "-", *pairs]


# --- the C client ----------------------------------------------------------------------


def c(attempts: Sequence[Attempt], folder: Path) -> Outcomes:
    """Has cli_mt try; it has no logins by TLS, and shows a certificate in any case."""
    program = oracle.secure_cli_mt()
    if not program.exists():
        raise OracleMissingError(f"{program} is missing; `python -m conformance.oracle install`")
    usable = [one for one in attempts if _is_for_c(one)]
    return together(usable, lambda attempt: _one_of_c(program, attempt, folder))


def _is_for_c(attempt: Attempt) -> bool:
    stores = attempt.stores
    if stores is None:
        return True
    return stores.kind == PEM and attempt.own is not None and attempt.login is None


def c_options(attempt: Attempt, folder: Path) -> list[str]:
    """Returns what cli_mt is told."""
    name = _plain(attempt.name)
    if attempt.own is not None and attempt.stores is not None:
        files = [attempt.stores.trust, *secured.split_pem(attempt.own, folder, name)]
        return ["-s", ",".join(map(str, [*files, "none"]))]
    if attempt.login is None:
        return []
    user, secret = attempt.login
    if attempt.kerberos is not None:
        return ["-n", "GSSAPI", "-u", user, "-o", "localhost"]
    password = folder / f"{name}.password"
    password.write_text(secret)
    return ["-n", "DIGEST-MD5", "-u", user, "-p", str(password), "-o", "zk-sasl-md5"]


def _one_of_c(program: Path, attempt: Attempt, folder: Path) -> str:
    host, port = attempt.address
    process = subprocess.Popen(
        [str(program), "-d", "-h", f"{host}:{port}", *c_options(attempt, folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(attempt.kerberos or {})},
    )
    assert process.stdout is not None
    late = threading.Timer(PATIENCE_S, process.kill)
    late.start()
    broken = 0
    try:
        for line in process.stdout:
            if "CONNECTED_STATE" in line:
                return IN
            if "process_sasl_response" in line and "rc=-115" in line:
                return REFUSED
            broken += bool(re.search(r"zk retcode=-|error in ssl connect", line))
            if broken >= BROKEN:
                return OUT
    finally:
        late.cancel()
        process.kill()
        process.communicate()
    return PIPE if process.returncode == -signal.SIGPIPE else f"an end: {process.returncode}"


# --- kazoo -----------------------------------------------------------------------------


def by_kazoo(attempts: Sequence[Attempt], folder: Path) -> Outcomes:
    """Has kazoo try; for Kerberos it wants a library that only its own suite installs."""
    pem = [one for one in attempts if one.stores is None or one.stores.kind == PEM]
    usable = [one for one in pem if one.kerberos is None]
    return together(usable, lambda attempt: _one_of_kazoo(attempt, folder))


def kazoo_options(attempt: Attempt, folder: Path) -> dict[str, Any]:
    """Returns what kazoo is told."""
    found: dict[str, Any] = {}
    if attempt.stores is not None:
        found = {"use_ssl": True, "ca": str(attempt.stores.trust)}
        if attempt.own is not None:
            name = f"kazoo-{_plain(attempt.name)}"
            certificate, key = secured.split_pem(attempt.own, folder, name)
            found |= {"certfile": str(certificate), "keyfile": str(key)}
    if attempt.login is not None:
        user, password = attempt.login
        found["sasl_options"] = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    return found


def _one_of_kazoo(attempt: Attempt, folder: Path) -> str:
    host, port = attempt.address
    told = Told()
    options = kazoo_options(attempt, folder)
    client = KazooClient(f"{host}:{port}", connection_retry=TRIES, logger=told.logger, **options)
    client.start_async()
    try:
        outcome = told.outcome()
        if outcome != IN:
            return outcome
        path = f"/kazoo-{_plain(attempt.name)}"
        client.create(path, b"x", acl=CREATOR_ALL_ACL, ephemeral=True)
        owners = sorted(f"{acl.id.scheme}:{acl.id.id}" for acl in client.get_acls(path)[0])
        return f"{IN}, a node of {' '.join(owners)}"
    except kazoo.exceptions.AuthFailedError:  # a login begins behind the connection
        return REFUSED
    except kazoo.exceptions.ConnectionClosedError:  # it has given up meanwhile: its log says why
        return told.outcome()
    except kazoo.exceptions.InvalidACLError:
        return f"{IN}, no node of its own"
    finally:
        client.stop()
        client.close()


class Told(logging.Handler):
    """What kazoo's log says of one client: a client that gives up tells nobody else."""

    WORDS: ClassVar[Mapping[str, str]] = {
        "Zookeeper connection established": IN,
        "AUTH_FAILED closing": REFUSED,
        "Failed connecting to Zookeeper": OUT,
    }

    def __init__(self) -> None:
        super().__init__()
        self.logger = logging.Logger("kazoo of one attempt", logging.INFO)
        self.logger.addHandler(self)
        self._outcomes: queue.Queue[str] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        for words, outcome in self.WORDS.items():
            if record.getMessage().startswith(words):
                self._outcomes.put(outcome)

    def outcome(self) -> str:
        """Waits for it."""
        try:
            return self._outcomes.get(timeout=PATIENCE_S)
        except queue.Empty:
            return f"nothing in {PATIENCE_S} s"


def together(attempts: Sequence[Attempt], one: Callable[[Attempt], str]) -> Outcomes:
    """Has all try at the same time: who is refused has to wait."""
    with ThreadPoolExecutor(len(attempts) or 1) as pool:
        found = pool.map(one, attempts)
        return dict(zip([attempt.name for attempt in attempts], found, strict=True))


CLIENTS: Final[Mapping[str, Callable[[Sequence[Attempt], Path], Outcomes]]] = {
    "Java 3.9": java("3.9"),
    "Java 3.8": java("3.8"),
    "C": c,
    "kazoo": by_kazoo,
}


# --- what is tried ---------------------------------------------------------------------


class Tries:
    """All attempts at one server, and what became of them."""

    def __init__(self, launcher: Launcher, people: Cast, folder: Path) -> None:
        self.launcher = launcher
        self.people = people
        self.folder = folder
        self.found: dict[str, Outcomes] = {}
        self.skipped: dict[str, str] = {}

    def all(self, realm: kdc.Realm | None) -> None:
        """Tries everything."""
        self._certificates_and_passwords()
        self._other_servers()
        self._revocations()
        if realm is not None:
            self._kerberos(realm)

    def _try(self, attempts: Sequence[Attempt]) -> None:
        for client, tries in CLIENTS.items():
            try:
                outcomes = tries(attempts, self.folder)
            except OracleMissingError as missing:
                self.skipped[client] = str(missing)
                continue
            self.found.setdefault(client, {}).update(outcomes)

    def _by_tls(
        self, name: str, address: Address, own: Issued | None, kind: str = PEM, **more: Any
    ) -> Attempt:
        file = f"client-{_plain(name)}"
        trusted = self.people.root.certificate_pem
        stores = secured.stores(self.folder, file, own, trusted, kind)
        return Attempt(name, address, stores, own, **more)

    def _certificates_and_passwords(self) -> None:
        people = self.people
        stores = secured.stores(self.folder, "server", people.server, people.trusted(""))
        keys, properties = secured.sasl_settings(secured.login_file(self.folder))
        config = {**stores.settings(), **keys, **PROTOCOLS}
        with secured.secure_server(self.launcher, config, properties) as (server, address):
            by_name = ("localhost", address[1])
            plain = ("localhost", server.port)
            right = people.clients["right"]
            alice = ("alice", USERS["alice"])
            shown = [self._by_tls(name, by_name, people.clients[name]) for name in CERTIFICATES]
            logins = [
                Attempt(name, plain, login=(user, password))
                for name, (user, password) in PASSWORDS.items()
            ]
            self._try(
                [
                    *(*shown, *logins, Attempt("no login", plain)),
                    self._by_tls("right, JKS", by_name, right, JKS),
                    self._by_tls("right, and a login", by_name, right, login=alice),
                    self._by_tls("right, and a wrong login", by_name, right, login=("alice", "x")),
                ]
            )

    def _other_servers(self) -> None:
        """Lets a client with the right certificate try at servers with every kind of one."""
        people = self.people
        for what, issued in self._servers().items():
            stores = secured.stores(self.folder, _plain(what), issued, people.trusted(""))
            config = {**stores.settings(), **PROTOCOLS}
            with secured.secure_server(self.launcher, config) as (_, address):
                by_name = ("localhost", address[1])
                self._try([self._by_tls(f"a server: {what}", by_name, people.clients["right"])])

    def _servers(self) -> dict[str, Issued]:
        """Returns what the server shows."""
        names, root = ["localhost", "127.0.0.1"], self.people.root
        return {
            "right": root.issue("server", names=names),
            "expired": root.issue("server", names=names, days=(-9, -1)),
            "not yet valid": root.issue("server", names=names, days=(1, 9)),
            "of an unknown authority": Authority("Other").issue("server", names=names),
            "for another host": root.issue("server", names=["elsewhere.example"]),
        }

    def _revocations(self) -> None:
        people = self.people
        stores = secured.stores(self.folder, "lists", people.server, people.trusted(""), JKS)
        config = {**stores.settings(), **PROTOCOLS, "ssl.clientAuth": "want", "ssl.crl": "true"}
        with secured.secure_server(self.launcher, config) as (_, address):
            by_name = ("localhost", address[1])
            shown = {name: people.clients[name] for name in ("not revoked", "revoked")}
            shown["none, where none is needed"] = None
            self._try([self._by_tls(name, by_name, own) for name, own in shown.items()])

    def _kerberos(self, realm: kdc.Realm) -> None:
        """By a realm on loopback; the C client and kazoo take their ticket from its cache."""
        service, user = f"zookeeper/localhost@{realm.name}", f"carol@{realm.name}"
        file = self.folder / "kerberos-login.conf"
        module = "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true"
        keys = self.folder / "service.keytab"
        keys.write_bytes((realm.folder / "zookeeper_localhost.keytab").read_bytes())
        options = f'storeKey=true useTicketCache=false keyTab="{keys}" principal="{service}"'
        file.write_text(f"Server {{\n    {module} {options};\n}};\n")
        config, properties = secured.sasl_settings(file)
        properties["java.security.krb5.conf"] = str(realm.krb5_conf)
        own = (user, str(realm.folder / "carol.keytab"))
        with Server(self.launcher, config, properties) as server:
            address = ("localhost", server.port)
            attempts = [Attempt("Kerberos", address, login=own, kerberos=realm.environment)]
            self._try(attempts)


CERTIFICATES: Final = (
    *("right", "expired", "not yet valid", "unknown authority", "for another host"),
    *("for servers", "none"),
)
PASSWORDS: Final[Mapping[str, tuple[str, str]]] = {
    "a password": ("alice", USERS["alice"]),
    "a wrong password": ("alice", "wrong"),
    "an unknown user": ("eve", "wrong"),
}
CERTAIN: Final[Mapping[str, str]] = {
    "right": IN,
    "expired": OUT,
    "not revoked": IN,
    "revoked": OUT,
    "a password": IN,
    "a wrong password": REFUSED,
    "a server: right": IN,
    "a server: expired": OUT,
}
"""What must be so at both servers, or nothing has been shown."""


@contextlib.contextmanager
def realm_of(folder: Path) -> Iterator[kdc.Realm | None]:
    """Runs a realm with a service and a user, if there is what it needs."""
    if kdc.missing():
        yield None
        return
    (folder / "realm").mkdir()
    with kdc.realm(folder / "realm") as realm:
        realm.keytab("zookeeper/localhost")
        realm.log_in("carol", realm.keytab("carol"))
        yield realm


def compare(ours: Launcher, theirs: Launcher) -> tuple[list[str], str]:
    """Returns the differences of two servers, and a summary."""
    with tempfile.TemporaryDirectory(prefix="pyzk-logins-") as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        people = cast(folder, ends.enter_context(Responder()))
        realm = ends.enter_context(realm_of(folder))
        both = []
        for number, launcher in enumerate((ours, theirs)):
            (folder / str(number)).mkdir()
            both.append(Tries(launcher, people, folder / str(number)))
            both[-1].all(realm)
    words = [f"{client}: {len(found)}" for client, found in both[0].found.items()]
    words += [f"{client}: SKIPPED, {why}" for client, why in both[0].skipped.items()]
    if realm is None:
        words.append(f"Kerberos: SKIPPED, {kdc.missing()} (Debian's krb5-kdc) is missing")
    return list(_differences(both[0], both[1])), "; ".join(words)


def _differences(ours: Tries, theirs: Tries) -> Iterator[str]:
    for client, outcomes in theirs.found.items():
        for name, said in outcomes.items():
            found = ours.found[client][name]
            certain = CERTAIN.get(name, "")
            if found != (OUT if said == PIPE else said):
                line = f"{client}, {name}: {theirs.launcher.name} {said!r}"
                yield f"{line}, {ours.launcher.name} {found!r}"
            elif not found.startswith(certain):
                yield f"{client}, {name}: {found!r} at both, though it must be {certain!r}"
