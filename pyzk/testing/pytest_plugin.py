"""The pytest plugin: fixtures for a ZooKeeper server and for clients of it.

Shell. Registered as an entry point, so every pytest run on a machine with pyzk imports this module:
it imports nothing but pytest, everything else when a fixture is used.

    def test_lock(zk_server, zk_client):
        lock = zk_client.Lock("/lock")
        ...
        zk_server.expire_session(zk_client)

`zk_server` is a server with an empty tree for each test, `zk_server_module` and
`zk_server_session` are shared (their `reset` empties them in about a millisecond), and
`zk_server_factory` makes as many as a test needs. `zk_client` is a connected kazoo client,
`zk_client_factory` makes more. The marker ``zk`` has arguments for the server:

    @pytest.mark.zk(virtual_clock=True, options={"maxSessionTimeout": 5000})

`zk_ensemble` is an ensemble of three for each test, `zk_ensemble_factory` makes others; the same
marker has arguments for them. `zk_client` beside `zk_ensemble` is a client of the ensemble.

With ``--pyzk-command`` or ``--pyzk-connect`` the same tests run against another server. A test is
skipped at the first line that needs what only a server in this process can do.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from typing import Any, NoReturn, TypeVar

    from pyzk.testing.ensemble import ZooKeeperEnsemble
    from pyzk.testing.members.member import EnsembleMember
    from pyzk.testing.server import ZooKeeperServer

    Served = ZooKeeperServer | ZooKeeperEnsemble
    _Made = TypeVar("_Made", ZooKeeperServer, ZooKeeperEnsemble)
    EnsembleFactory = Callable[..., ZooKeeperEnsemble]
    ServerFactory = Callable[..., ZooKeeperServer]
    ClientFactory = Callable[..., Any]

_LEAKS = ("warn", "error", "ignore")
_MARKER = (
    "zk(options=None, virtual_clock=False, on_disk=False, leaks=None, voters=3, observers=0,"
    " tls=False, sasl=None): what zk_server or zk_ensemble is made with: options of zoo.cfg, a"
    " clock that stands still (not for ensembles), a data directory, what to do about clients that"
    " are still connected at the end; how many members (for ensembles); whether clients use TLS;"
    " users of SASL and their passwords"
)
_ENSEMBLE_MARKER = (
    "zk_ensemble(voters=3, observers=0, options=None, on_disk=False, leaks=None, tls=False,"
    " sasl=None): what the ensemble of zk_ensemble is made with, where other tests of the module"
    " use zk_server"
)
_SHOWN_EVENTS = 30
"""How many events a report shows; with -vv it shows all."""
_CLIENT_TIMEOUT_S = 10.0
_START_S = 30.0
_RETRY_S = 60.0
_GRACE_S = 1.0
"""How long a client may take to close its session before its connection is cut."""
_GRACES = 20

_ACCESS = (
    ("tls", None, "talk TLS with an external server"),
    ("ca", "FILE", "whom to trust, PEM; the system's authorities without it"),
    ("cert", "FILE", "the certificate of all clients, PEM"),
    ("key", "FILE", "its key, PEM; without it in the file of --pyzk-cert"),
    ("key-password-file", "FILE", "the password of the key; or the variable PYZK_KEY_PASSWORD"),
    ("no-check-hostname", None, "take a server's certificate that is for another host"),
    ("no-verify", None, "take any certificate of a server"),
    ("sasl", "MECHANISM[:USER]", "log in: digest:USER, or gssapi[:PRINCIPAL]"),
    ("sasl-password-file", "FILE", "the password of USER; or the variable PYZK_SASL_PASSWORD"),
    ("sasl-service", "NAME", "what the servers' principals begin with: zookeeper"),
)
"""The options of our command line by which an external server is reached: name, value, meaning."""

_UNAVAILABLE = " is not available with an external server"

_has_failed = pytest.StashKey[bool]()
_servers = pytest.StashKey["dict[str, Served]"]()
"""Set on each node (test, module, session): the servers that its fixtures have made, by name."""


# --- settings -------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    _keep_asserts(pluginmanager)
    group = parser.getgroup("pyzk", "ZooKeeper server (pyzk)")
    group.addoption(
        "--pyzk-command",
        metavar="CMD",
        help="serve zk_server and its like by a process: {port}, {host}, {data_dir} and {cfg}"
        " (a zoo.cfg) are replaced in CMD",
    )
    group.addoption(
        "--pyzk-connect",
        metavar="HOST:PORT",
        help="use a server that runs already; each test has a chroot of its own there",
    )
    group.addoption(
        "--pyzk-leaks",
        metavar="|".join(_LEAKS),
        help="what to do about clients that are still connected when a server is stopped",
    )
    for name, value, text in _ACCESS:
        if value is None:
            group.addoption(f"--pyzk-{name}", action="store_true", help=text)
        else:
            group.addoption(f"--pyzk-{name}", metavar=value, help=text)
    parser.addini("pyzk_command", "default of --pyzk-command")
    parser.addini("pyzk_connect", "default of --pyzk-connect")
    parser.addini("pyzk_leaks", "default of --pyzk-leaks (warn)")
    parser.addini("pyzk_options", "settings for every server, name=value", type="linelist")


def _keep_asserts(pluginmanager: pytest.PytestPluginManager) -> None:
    """Keep pytest from rewriting the server's asserts. It rewrites those of every package with a
    plugin in it, which makes the first start half as long again, and six times as long without a
    cache. pytest has no public setting for all modules of a package."""
    marked = getattr(pluginmanager.rewrite_hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked.discard(__name__.partition(".")[0])


def _setting(config: pytest.Config, name: str) -> str:
    value = config.getoption(f"pyzk_{name}")
    return str((config.getini(f"pyzk_{name}") or "") if value is None else value)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    config.addinivalue_line("markers", _ENSEMBLE_MARKER)
    for line in config.getini("pyzk_options"):
        if "=" not in line:
            raise pytest.UsageError(f"pyzk_options: {line!r} is not name=value")
    leaks = _setting(config, "leaks")
    if leaks not in ("", *_LEAKS):
        raise pytest.UsageError(f"pyzk_leaks is {leaks!r}; give one of {', '.join(_LEAKS)}")
    if _setting(config, "command") and _setting(config, "connect"):
        raise pytest.UsageError("pyzk_command and pyzk_connect: give one of them")
    given = [name for name, _, _ in _ACCESS if config.getoption(f"pyzk_{name.replace('-', '_')}")]
    if given and not (_setting(config, "command") or _setting(config, "connect")):
        raise pytest.UsageError(f"--pyzk-{given[0]} is for --pyzk-command and --pyzk-connect")
    if given:
        from pyzk.testing.external import access

        access.check(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    for name in ("command", "connect"):
        if value := _setting(config, name):
            return f"pyzk: external server, {name} {value}"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    # A test without a server imports nothing.
    if any(name.startswith("zk_") for name in getattr(item, "fixturenames", ())):
        from pyzk.testing import markers

        if used := markers.used_by(item):
            markers.check(item, used)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how many tests an external server could not be asked to the end, and for want of what:
    pytest shows the reasons of skips only with -rs."""
    missing: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        place = report.longrepr
        reason = place[2].removeprefix("Skipped: ") if isinstance(place, tuple) else ""
        what, found, _ = reason.partition(_UNAVAILABLE)
        if found:
            missing[what] = missing.get(what, 0) + 1
    if missing:
        told = ", ".join(f"{what} {count}" for what, count in sorted(missing.items()))
        terminalreporter.write_line(
            f"pyzk: {sum(missing.values())} tests were skipped where they need what an external"
            f" server does not offer: {told} (-rs says where)"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    if any(mark.name in ("zk", "zk_ensemble") for mark in item.own_markers):
        from pyzk.testing import markers

        markers.check_afterwards(item)


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments that the markers give, and the ini file's about leaks."""
    from pyzk.testing import markers

    settings: dict[str, Any] = {}
    if leaks := _setting(request.config, "leaks"):
        settings["leaks"] = leaks
    return {**settings, **markers.settings_of(request)}


# --- servers --------------------------------------------------------------------------


class _Servers:
    """Makes the servers of one fixture, and stops them at its end."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._made: list[Served] = []

    def make(self, name: str, **settings: Any) -> ZooKeeperServer:
        server = self._new(settings)
        self._keep(name, server)
        return server.start()

    def make_ensemble(self, name: str, **settings: Any) -> ZooKeeperEnsemble:
        command, connect = (_setting(self._request.config, f) for f in ("command", "connect"))
        if command:
            _skip("an ensemble is not available with an external server (--pyzk-command)")
        if connect:
            return self._connected_ensemble(name, connect, settings)
        from pyzk.testing.ensemble import ZooKeeperEnsemble

        _take_ini(self._request.config, settings)
        if settings.pop("on_disk", False):
            settings["data_dir"] = self._directory()
        ensemble = ZooKeeperEnsemble(**settings)
        self._keep(name, ensemble)
        return ensemble.start()

    def _connected_ensemble(
        self, name: str, connect: str, settings: dict[str, Any]
    ) -> ZooKeeperEnsemble:
        from pyzk.testing.external import access
        from pyzk.testing.external.ensemble import ConnectedEnsemble

        reached = access.options_of(self._request.config)
        _skip_what_is_only_here(settings, "--pyzk-connect", "options", "data_dir", "host", "sasl")
        access.skip_tls(settings, reached, _skip)
        found = ConnectedEnsemble(connect, unavailable=_skip, access=reached)
        ensemble: Any = found  # it refuses by name what it lacks
        self._keep(name, ensemble)
        found.start()
        found.check_size(settings.get("voters"), settings.get("observers"))
        return ensemble  # type: ignore[no-any-return]

    def _keep(self, name: str, server: Served) -> None:
        self._made.append(server)
        known = self._request.node.stash.setdefault(_servers, {})
        known[name if name not in known else f"{name} ({len(known) + 1})"] = server

    def _directory(self) -> str:
        factory: pytest.TempPathFactory = self._request.getfixturevalue("tmp_path_factory")
        return str(factory.mktemp("zookeeper"))

    def _new(self, settings: dict[str, Any]) -> ZooKeeperServer:
        config = self._request.config
        command = _setting(config, "command")
        connect = _setting(config, "connect")
        on_disk = settings.pop("on_disk", False)
        if on_disk and not connect:
            settings["data_dir"] = self._directory()
        if not command and not connect:
            from pyzk.testing.server import ZooKeeperServer

            _take_ini(config, settings)
            return ZooKeeperServer(**settings)
        server: object
        from pyzk.testing.external import access

        reached = access.options_of(config)
        if command:
            _skip_what_is_only_here(settings, "--pyzk-command", "host", "port", "sasl")
            from pyzk.testing.external.command import CommandServer, skip_properties

            skip_properties(settings.get("options") or {}, command, _skip)
            _take_ini(config, settings)
            directory = settings.get("data_dir") or self._directory()
            options = settings.get("options")
            server = CommandServer(
                command,
                directory,
                options=options,
                unavailable=_skip,
                access=reached,
                tls=settings.get("tls", False),
            )
        else:
            from pyzk.testing.external.server import ConnectedServer

            _skip_what_is_only_here(
                settings, "--pyzk-connect", "options", "data_dir", "host", "port", "sasl"
            )
            access.skip_tls(settings, reached, _skip)
            server = ConnectedServer(connect, unavailable=_skip, on_disk=on_disk, access=reached)
        return server  # type: ignore[return-value]  # it refuses by name what it lacks

    def stop(self) -> None:
        """Stop all servers; if the test has failed, that failure is what should be seen."""
        leaks = "ignore" if self._request.node.stash.get(_has_failed, False) else None
        problem: BaseException | None = None
        for server in reversed(self._made):
            try:
                server.stop(leaks=leaks)
            except Exception as error:
                problem = problem or error
        self._request.node.stash[_servers] = {}
        if problem is not None:
            raise problem


def _plainly(
    request: pytest.FixtureRequest,
    make: Callable[[], _Made],
    own: Mapping[str, object] | None = None,
) -> _Made:
    """Return what `make` makes. A wrong setting fails the test without a traceback, which would
    show no line of the test. In the call of a factory, with options of its ``own``, that is so
    only for settings of the marker or the ini file."""
    from pyzk.errors import ConfigError
    from pyzk.testing import markers
    from pyzk.testing.errors import FixtureError

    try:
        return make()
    except (ConfigError, FixtureError) as error:
        places = {
            "": own or {},
            "the marker's options": markers.settings_of(request).get("options", {}),
            "pyzk_options in the ini file": _ini_options(request.config),
        }
        text = str(error)
        found = [place for place, options in places.items() if _is_about(text, options)]
        place = found[0] if found else ""
        if own is not None and not place:
            raise
        failure = f"{place}: {text.removeprefix('option ')}" if place else text
    pytest.fail(failure, pytrace=False)


def _is_about(text: str, options: Mapping[str, object]) -> bool:
    return any(text.startswith((f"{key}:", f"option {key}:")) for key in options)


def _ini_options(config: pytest.Config) -> dict[str, object]:
    options: dict[str, object] = {}
    for line in config.getini("pyzk_options"):
        key, _, value = line.partition("=")
        options[key.strip()] = value.strip()
    return options


def _take_ini(config: pytest.Config, settings: dict[str, Any]) -> None:
    """Add the options of the ini file; those of the test override them."""
    options = _ini_options(config)
    options.update(settings.pop("options", None) or {})
    if options:
        settings["options"] = options


def _skip_what_is_only_here(settings: dict[str, Any], option: str, *names: str) -> None:
    """Skip a test with settings that no external server takes. A virtual clock is missed only
    when the test moves it."""
    for name in names:
        if settings.get(name):
            _skip(f"{name} is not available with an external server ({option})")


def _skip(text: str) -> NoReturn:
    __tracebackhide__ = True
    assert _UNAVAILABLE in text, text  # the summary counts only these
    pytest.skip(text)


def _serve(request: pytest.FixtureRequest, name: str) -> Iterator[ZooKeeperServer]:
    servers = _Servers(request)
    try:
        settings = _settings(request)
        yield _plainly(request, lambda: servers.make(name, **settings))
    finally:
        servers.stop()


@pytest.fixture
def zk_server(request: pytest.FixtureRequest) -> Iterator[ZooKeeperServer]:
    """A ZooKeeper server of this test's own, with an empty tree: see
    pyzk.testing.ZooKeeperServer."""
    yield from _serve(request, "zk_server")


@pytest.fixture(scope="module")
def zk_server_module(request: pytest.FixtureRequest) -> Iterator[ZooKeeperServer]:
    """A ZooKeeper server for all tests of a module; its reset() makes it a new one with an empty
    tree, on the same port, in about a millisecond."""
    yield from _serve(request, "zk_server_module")


@pytest.fixture(scope="session")
def zk_server_session(request: pytest.FixtureRequest) -> Iterator[ZooKeeperServer]:
    """A ZooKeeper server for the whole run (of each worker of pytest-xdist); its reset() makes it
    a new one with an empty tree, on the same port, in about a millisecond."""
    yield from _serve(request, "zk_server_session")


@pytest.fixture
def zk_server_factory(request: pytest.FixtureRequest) -> Iterator[ServerFactory]:
    """Make ZooKeeper servers: zk_server_factory(virtual_clock=True, ...) takes the arguments of
    ZooKeeperServer, beyond those of the marker zk. They are stopped at the end of the test."""
    servers = _Servers(request)
    marked = _settings(request)

    def make(**settings: Any) -> ZooKeeperServer:
        own = settings.pop("options", None) or {}
        settings = {**marked, **settings, "options": {**marked.get("options", {}), **own}}
        return _plainly(request, lambda: servers.make("zk_server_factory", **settings), own)

    try:
        yield make
    finally:
        servers.stop()


@pytest.fixture
def zk_ensemble(request: pytest.FixtureRequest) -> Iterator[ZooKeeperEnsemble]:
    """A ZooKeeper ensemble of this test's own, of three members with empty trees: see
    pyzk.testing.ZooKeeperEnsemble. The marker zk_ensemble says otherwise."""
    servers = _Servers(request)
    settings = _settings(request)
    try:
        yield _plainly(request, lambda: servers.make_ensemble("zk_ensemble", **settings))
    finally:
        servers.stop()


@pytest.fixture
def zk_ensemble_factory(request: pytest.FixtureRequest) -> Iterator[EnsembleFactory]:
    """Make ZooKeeper ensembles: zk_ensemble_factory(voters=5, ...) takes the arguments of
    ZooKeeperEnsemble, beyond those of the marker zk_ensemble. They are stopped at the end of the
    test."""
    servers = _Servers(request)
    marked = _settings(request)

    def make(voters: int | None = None, **settings: Any) -> ZooKeeperEnsemble:
        own = settings.pop("options", None) or {}
        if voters is not None:
            settings["voters"] = voters
        settings = {**marked, **settings, "options": {**marked.get("options", {}), **own}}
        return _plainly(
            request, lambda: servers.make_ensemble("zk_ensemble_factory", **settings), own
        )

    try:
        yield make
    finally:
        servers.stop()


# --- clients --------------------------------------------------------------------------


@pytest.fixture
def zk_client_factory(request: pytest.FixtureRequest) -> ClientFactory:
    """Make connected kazoo clients: zk_client_factory(server=None, **arguments of KazooClient).
    The server may be an ensemble, or a member of one; without it, it is that of zk_client. Beside
    tls=True they come by TLS, with the certificate of CN=client unless the arguments say otherwise.
    They come back quickly after a restart, and are stopped at the end of the test."""
    return _client_factory(request, "zk_client_factory()")


@pytest.fixture
def zk_client(request: pytest.FixtureRequest) -> Any:
    """A connected kazoo client: of the server or ensemble of the fixture that the test uses
    besides, otherwise of zk_server. It comes back after a restart, and is stopped at the end of
    the test; without kazoo the test is skipped."""
    return _client_factory(request, "zk_client")()


def _client_factory(request: pytest.FixtureRequest, name: str) -> ClientFactory:
    from functools import partial

    kazoo = pytest.importorskip("kazoo.client", reason="zk_client needs kazoo: pip install kazoo")

    def make(server: Served | EnsembleMember | None = None, **arguments: Any) -> Any:
        if server is None:
            from pyzk.testing import markers

            server = request.getfixturevalue(markers.server_of_clients(request, name))
        if not hasattr(server, "connect_string"):
            raise TypeError(
                f"{server!r} is not a server; give a server, an ensemble or a member of it"
            )
        quick = {"max_tries": -1, "delay": 0.01, "max_delay": 0.2}
        arguments = {
            "timeout": _CLIENT_TIMEOUT_S,
            "connection_retry": quick,
            # A test should fail, not hang, when nothing helps.
            "command_retry": {**quick, "deadline": _RETRY_S},
            **server.kazoo_options(),
            **arguments,
        }
        client = kazoo.KazooClient(**arguments)
        # At the end of the test, not of this fixture: the client ends before its server does.
        request.node.addfinalizer(partial(_end_client, server, client))
        client.start(_START_S)
        return client

    return make


def _end_client(server: Served | EnsembleMember, client: Any) -> None:
    """Stop a client, in whatever state the test has left its server."""
    import contextlib
    import threading

    from pyzk.testing.errors import FixtureError

    for each in getattr(server, "members", [server]):
        if each.state == "paused":
            each.resume()
    goodbye = threading.Thread(target=client.stop, name="zk_client-stop", daemon=True)
    goodbye.start()
    goodbye.join(_GRACE_S)
    # An external server has no faults that could keep the answer.
    if goodbye.is_alive() and hasattr(type(server), "drop_connections"):
        with contextlib.suppress(FixtureError, TimeoutError):
            server.reset_faults()
            server.drop_connections()
            server.expire_session(client)
    goodbye.join(_GRACES * _GRACE_S)
    if goodbye.is_alive():
        raise TimeoutError(f"a kazoo client does not stop; {server.report(_SHOWN_EVENTS)}")
    client.close()


# --- reports --------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None:
        item.stash[_has_failed] = True
        if report.failed:
            for name, server in _servers_of(item):
                kind = "ensemble" if hasattr(server, "members") else "server"
                told = _told_by(server, item.config)
                report.sections.append((f"ZooKeeper {kind} {name}", told))
    return report


def _servers_of(item: pytest.Item) -> list[tuple[str, Any]]:
    """Return the servers that a test has used, from fixtures of this plugin and of others."""
    used = getattr(item, "fixturenames", ())
    found = [
        (name, server)
        for node in item.listchain()
        for name, server in node.stash.get(_servers, {}).items()
        if node is item or name in used
    ]
    harness = sys.modules.get("pyzk.testing.kazoo_harness")
    instance = getattr(item, "instance", None)
    if harness is not None and isinstance(instance, harness.KazooTestHarness):
        found += [(f"cluster[{i}]", managed.server) for i, managed in enumerate(instance.cluster)]
    # As long as this module is not imported, there is none.
    controls = sys.modules.get("pyzk.testing.core.controls")
    if controls is not None:
        values = getattr(item, "funcargs", None) or {}
        known = [server for _, server in found]
        found += [
            (name, value)
            for name, value in values.items()
            if isinstance(value, controls.Controls) and not any(value is one for one in known)
        ]
    return found


def _told_by(server: Served, config: pytest.Config) -> str:
    try:
        return server.report(None if config.getoption("verbose") > 1 else _SHOWN_EVENTS)
    except Exception as error:
        return f"no report: {error!r}"
