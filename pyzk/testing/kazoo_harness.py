"""A stand-in for kazoo.testing: the same classes over a server in this process, without Java.

Shell. A test class changes one import:

    from pyzk.testing.kazoo_harness import KazooTestCase, KazooTestHarness

The environment variables are those that kazoo's harness reads:

    ZOOKEEPER_PORT_OFFSET        the client port; not set: the operating system gives one
    ZOOKEEPER_CLUSTER_SIZE       always 1 here; another number gives a warning
    ZOOKEEPER_JAAS_AUTH          digest: the users super and jaasuser of kazoo's harness may log in;
                                 gssapi: the key of the server is $KRB5_TEST_ENV/server.keytab, and
                                 the realm that of $KRB5_CONFIG
    ZOOKEEPER_VERSION, ZOOKEEPER_PATH, ZOOKEEPER_CLASSPATH, ZOOKEEPER_OBSERVER_START_ID,
    ZOOKEEPER_LOCAL_SESSION_RO   not needed, ignored

The client port takes TLS, too, from the moment that a test asks for a secure address or for the
certificates of a client (extra ``testing``). If the server runs then, it starts again
with the same data.

Two things differ: `lose_connection` and `expire_session` happen on the server, too, so that the
ephemerals of an expired session are gone; and `cluster[0].server` is a `ZooKeeperServer`, with all
its faults.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import tempfile
import threading
import unittest
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.protocol.connection import _SESSION_EXPIRED
from kazoo.protocol.states import KazooState

from pyzk.testing.core.inspection import session_id_of
from pyzk.testing.core.security import UNIFICATION, Security
from pyzk.testing.errors import FixtureError
from pyzk.testing.server import ZooKeeperServer

if TYPE_CHECKING:
    from pyzk.testing.core.certificates import Certificates

__all__ = ["KazooTestCase", "KazooTestHarness", "ZookeeperCluster", "get_global_cluster"]

log: Final = logging.getLogger(__name__)

_VARIABLES: Final = ("ZOOKEEPER_PORT_OFFSET", "ZOOKEEPER_CLUSTER_SIZE", "ZOOKEEPER_JAAS_AUTH")
_OUR_FILES: Final = {"jaas.conf"}
_OPTIONS: Final = {
    # What kazoo's harness writes into its zoo.cfg; the password of super is "test".
    "tickTime": 2000,
    "minSessionTimeout": 4000,
    "maxSessionTimeout": 40_000,
    "reconfigEnabled": "true",
    "DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
    "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
}
_DIGEST, _GSSAPI = "digest", "gssapi"
_USERS: Final = {"super": "super_secret", "jaasuser": "jaas_password"}
"""The logins of ZOOKEEPER_JAAS_AUTH=digest."""
_PRINCIPAL: Final = "zookeeper/127.0.0.1@KAZOOTEST.ORG"
_LOGIN_FILE: Final = """\
Server {{
    com.sun.security.auth.module.Krb5LoginModule required
    useKeyTab=true storeKey=true keyTab="{keytab}" principal="zookeeper/127.0.0.1@KAZOOTEST.ORG";
}};
"""
"""The login file of ZOOKEEPER_JAAS_AUTH=gssapi."""
_KEYTAB: Final = "${KRB5_TEST_ENV}/server.keytab"
_LOSS_S: Final = 5.0
_RECONNECT_S: Final = 15.0

EventFactory = Callable[[], Any]


class ServerInfo(NamedTuple):
    """The description of a server in kazoo's harness; ports that pyzk does not open are 0."""

    server_id: int
    client_port: int
    secure_client_port: int = 0
    election_port: int = 0
    leader_port: int = 0
    admin_port: int = 0
    peer_type: str = "participant"


class ManagedZooKeeper:
    """One server of the cluster."""

    def __init__(
        self,
        server_id: int,
        port: int,
        logins: str,
        make_certificates: Callable[[], Certificates],
    ) -> None:
        """``logins`` are those of ZOOKEEPER_JAAS_AUTH. ``make_certificates`` returns those that all
        servers have."""
        self._id = server_id
        self._make_certificates = make_certificates
        self._port = port
        self._logins = logins
        self._users = _USERS if logins == _DIGEST else None
        self._working_path: str | None = None
        self._certificates: Certificates | None = None
        self.server = self._new()

    def _new(self) -> ZooKeeperServer:
        # kazoo's harness allows clients that outlive the cluster.
        return ZooKeeperServer(
            port=self._port,
            options=self._options(),
            leaks="ignore",
            tls=self._certificates or False,
            sasl=self._users,
        )

    def _options(self) -> dict[str, object]:
        options = dict(_OPTIONS)
        if self._certificates is not None:
            options[UNIFICATION] = "true"
        return options | self._of_kerberos() if self._logins == _GSSAPI else options

    def _of_kerberos(self) -> dict[str, object]:
        """Return the options of a server whose key the environment names."""
        path = os.path.join(self.working_path, "jaas.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(_LOGIN_FILE.format(keytab=os.path.expandvars(_KEYTAB)))
        options: dict[str, object] = {"java.security.auth.login.config": path}
        if "KRB5_CONFIG" in os.environ:
            options["java.security.krb5.conf"] = os.environ["KRB5_CONFIG"]
        return options

    def secure(self, certificates: Certificates) -> None:
        """Take TLS beside plaintext from now on; what runs starts again with its data."""
        if certificates is self._certificates:
            return
        self._certificates = certificates
        if self.server.state == "not started":
            self.server = self._new()
            return
        security = Security(certificates, self._users)
        self.server._engine.secure(security, self._options(), self.host, self.server.port)
        if self.running:
            self.server.restart()

    def run(self) -> None:
        """Start, or start again with the same data."""
        if self.running:
            return
        if self.server.state == "not started":
            self.server.start()
            # The port stays the same, as clients know it.
            self._port = self.server.port
        else:
            self.server.restart()

    def stop(self) -> None:
        """Stop, and keep the data."""
        if self.server.state != "not started":
            self.server.stop()

    def heal(self) -> None:
        """Undo what a test has done to `server`, so that the next test finds it whole."""
        if self.server.state == "paused":
            self.server.resume()
        if self.running:
            self.server.reset_faults()

    def reset(self) -> None:
        """Stop, and forget the data."""
        if self.server.state != "not started":
            self.stop()
            self.server = self._new()

    def destroy(self) -> None:
        """Stop, and leave nothing behind."""
        self.reset()
        if self._working_path is not None and set(os.listdir(self._working_path)) <= _OUR_FILES:
            shutil.rmtree(self._working_path)
            self._working_path = None

    @property
    def running(self) -> bool:
        """Whether the server runs, paused or not."""
        return self.server.state in ("running", "paused")

    @property
    def host(self) -> str:
        """The host of the server, without its port."""
        return self.server.host

    @property
    def client_port(self) -> int:
        """The client port; a server that was not started yet is started to get one."""
        if not self._port:
            self.run()
        return self._port

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self.host}:{self.client_port}"

    @property
    def secure_client_port(self) -> int:
        """The client port, which takes TLS from now on. Raises ImportError if the library for
        certificates is missing."""
        self.secure(self._make_certificates())
        return self.client_port

    @property
    def secure_address(self) -> str:
        """``host:port``, for clients with TLS. Raises as `secure_client_port`."""
        return f"{self.host}:{self.secure_client_port}"

    @property
    def server_info(self) -> ServerInfo:
        """The server's number and its port."""
        secure_port = 0 if self._certificates is None else self.client_port
        return ServerInfo(self._id, self.client_port, secure_port)

    @property
    def working_path(self) -> str:
        """A directory for tests that want to write files; the server's data is in memory."""
        if self._working_path is None:
            self._working_path = tempfile.mkdtemp()
        return self._working_path

    def get_logs(self, num_lines: int = 100) -> list[str]:
        """Return the last events."""
        return [f"{line}\n" for line in self.server.events[-num_lines:]]


class ZookeeperCluster:
    """The servers of kazoo's harness: always a single one."""

    def __init__(self, port: int = 0, logins: str = "") -> None:
        self._certificates: Certificates | None = None
        self._servers = [ManagedZooKeeper(1, port, logins, self._make_certificates)]

    def __getitem__(self, number: int) -> ManagedZooKeeper:
        try:
            return self._servers[number]
        except IndexError:
            raise IndexError(
                f"cluster[{number}]: this harness serves a single server, cluster[0]; for an"
                " ensemble there is pyzk.testing.ZooKeeperEnsemble"
            ) from None

    def __iter__(self) -> Iterator[ManagedZooKeeper]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def start(self) -> None:
        """Start all servers; return when clients can write."""
        for server in self:
            server.run()

    def stop(self) -> None:
        """Stop all servers, and keep their data."""
        for server in self:
            server.stop()

    def terminate(self) -> None:
        """Stop all servers, and leave nothing behind."""
        for server in self:
            server.destroy()

    def reset(self) -> None:
        """Stop all servers, and forget their data."""
        for server in self:
            server.reset()

    def get_logs(self) -> list[str]:
        """Return the last events of all servers."""
        return [line for server in self for line in server.get_logs()]

    def get_ssl_client_configuration(self) -> dict[str, bytes]:
        """Return the certificate of the client CN=client, its key, and the authority that it
        trusts, as PEM. The servers take TLS from now on. Raises ImportError if the library for
        certificates is missing."""
        self.secure()
        mine = self._make_certificates().client()
        files = {
            "client_key": mine.key_file,
            "client_cert": mine.cert_file,
            "ca_cert": mine.ca_file,
        }
        return {name: Path(file or "").read_bytes() for name, file in files.items()}

    def secure(self) -> None:
        """Have all servers take TLS beside plaintext."""
        for server in self:
            server.secure(self._make_certificates())

    def _make_certificates(self) -> Certificates:
        """Return the certificates of this cluster. Raises ImportError if the library for them is
        missing."""
        if self._certificates is None:
            from pyzk.testing.core.certificates import Certificates

            self._certificates = Certificates()
        return self._certificates


_cluster: ZookeeperCluster | None = None
_cluster_settings: dict[str, str | None] = {}


def get_global_cluster() -> ZookeeperCluster:
    """Return the cluster of this process, a new one if the environment has changed."""
    global _cluster, _cluster_settings
    settings = {name: os.environ.get(name) for name in _VARIABLES}
    if _cluster is not None:
        if settings == _cluster_settings:
            return _cluster
        log.info("the environment has changed: another cluster")
        _cluster.terminate()
        _cluster = None
    logins = settings["ZOOKEEPER_JAAS_AUTH"] or ""
    if logins not in ("", _DIGEST, _GSSAPI):
        raise FixtureError(f"ZOOKEEPER_JAAS_AUTH={logins} is neither {_DIGEST} nor {_GSSAPI}")
    size = _number("ZOOKEEPER_CLUSTER_SIZE", settings, 1)
    if size != 1:
        warnings.warn(
            f"ZOOKEEPER_CLUSTER_SIZE={size}: this harness serves a single server; for an ensemble"
            " there is pyzk.testing.ZooKeeperEnsemble",
            stacklevel=2,
        )
    _cluster = ZookeeperCluster(_number("ZOOKEEPER_PORT_OFFSET", settings, 0), logins)
    _cluster_settings = settings
    atexit.register(_cluster.terminate)
    return _cluster


def _number(name: str, settings: dict[str, str | None], default: int) -> int:
    text = settings[name]
    if not text:
        return default
    if not text.isdigit():
        raise FixtureError(f"{name}={text} is not a number")
    return int(text)


class KazooTestHarness(unittest.TestCase):
    """Starts a server and a client in a chroot of its own; breaks connection and session on
    request.

    It serves as a base class or as a mixin:

        class MyTestCase(KazooTestHarness):
            def setUp(self):
                self.setup_zookeeper()

            def tearDown(self):
                self.teardown_zookeeper()
    """

    DEFAULT_CLIENT_TIMEOUT = 15

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.client: Any = None
        self.hosts = ""
        self._clients: list[Any] = []

    @property
    def cluster(self) -> ZookeeperCluster:
        """The servers."""
        return get_global_cluster()

    def log(self, level: int, msg: str, *args: Any, **kwargs: Any) -> None:
        """Write to the harness's log."""
        log.log(level, msg, *args, **kwargs)

    @property
    def servers(self) -> str:
        """The connect string of the servers."""
        return ",".join(server.address for server in self.cluster)

    @property
    def secure_servers(self) -> str:
        """The connect string of the servers, for clients with TLS."""
        return ",".join(server.secure_address for server in self.cluster)

    def make_event(self) -> Any:
        """Return an event of the client's handler, for `lose_connection` and `expire_session`."""
        return threading.Event() if self.client is None else self.client.handler.event_object()

    def make_condition(self) -> Any:
        """Return a condition."""
        return threading.Condition()

    def _get_nonchroot_client(self) -> Any:
        return self._keep(KazooClient(self.servers))

    def _get_client(self, **client_options: Any) -> Any:
        client_options.setdefault("timeout", self.DEFAULT_CLIENT_TIMEOUT)
        return self._keep(KazooClient(self.hosts, **client_options))

    def _keep(self, client: Any) -> Any:
        self._clients.append(client)
        return client

    def lose_connection(self, event_factory: EventFactory | None = None) -> None:
        """Cut the client's connection; return when it is back."""
        server = self.cluster[0].server
        self._break(server.drop_connection, KazooState.SUSPENDED, event_factory)

    def expire_session(self, event_factory: EventFactory | None = None) -> None:
        """Expire the client's session; return when it has another.

        The client is told at once, as in kazoo's harness, and goes straight to LOST. After
        `cluster[0].server.expire_session` it is not told, and goes to LOST by way of SUSPENDED.
        """
        server = self.cluster[0].server
        session_id = session_id_of(self.client)
        self._break(
            lambda client: client._call(_SESSION_EXPIRED, None), KazooState.LOST, event_factory
        )
        with contextlib.suppress(FixtureError):  # It may have expired by itself.
            server.expire_session(session_id)

    def _break(
        self,
        order: Callable[[Any], object],
        expected: str,
        event_factory: EventFactory | None,
    ) -> None:
        """Break the client's connection; return when it is connected again."""
        make = event_factory or self.make_event
        lost, back = make(), make()

        def listen(state: str) -> bool | None:
            if state == expected:
                lost.set()
            elif lost.is_set() and state == KazooState.CONNECTED:
                back.set()
                return True
            return None

        self.client.add_listener(listen)
        order(self.client)
        if not lost.wait(_LOSS_S) and not lost.is_set():
            raise AssertionError(f"the client did not become {expected} in {_LOSS_S:g} s")
        if not back.wait(_RECONNECT_S) and not back.is_set():
            raise AssertionError(f"the client did not come back in {_RECONNECT_S:g} s")
        self.client.retry(self.client.get_async, "/")

    def setup_zookeeper(self, **client_options: Any) -> None:
        """Start the server, if it does not run, and a client in a new chroot."""
        if client_options.get("use_ssl"):
            self.cluster.secure()
        self.cluster.start()
        namespace = "/kazootests" + uuid.uuid4().hex
        self.hosts = self.servers + namespace
        # Read-only clients cannot create the chroot.
        self.cluster[0].server.load({namespace: b""})
        self.client = self._get_client(**client_options)
        self.client.start()
        self.client.ensure_path("/")

    def teardown_zookeeper(self) -> None:
        """Undo faults and stop the clients; the server stays for the next test."""
        for managed in self.cluster:
            managed.heal()
        while self._clients:
            client = self._clients.pop()
            try:
                client.stop()
            except KazooException:
                log.exception("a client does not stop: %s", client)
            finally:
                client.close()
        self.client = None


class KazooTestCase(KazooTestHarness):
    """A harness that starts and stops server and client around each test."""

    def setUp(self) -> None:
        self.setup_zookeeper()

    def tearDown(self) -> None:
        self.teardown_zookeeper()

    @classmethod
    def tearDownClass(cls) -> None:
        if _cluster is not None:
            _cluster.terminate()
