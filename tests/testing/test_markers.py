"""What the markers reach: every argument beside every fixture does something, or is an error; and
whose client `zk_client` is."""

from __future__ import annotations

import re

import pytest

from tests.testing.test_plugin import Run, run

pytest.importorskip("kazoo.client")

__all__ = ["run"]

SEEN = """
import pytest

class Seen:
    def __init__(self, made):
        self.made = made
        self.one = made[1] if hasattr(made, "members") else made
    def options(self):
        return self.one._engine.config.max_session_timeout_ms == 7000
    def virtual_clock(self):
        return self.one._engine.time.is_virtual
    def on_disk(self):
        return self.one.data_dir is not None
    def leaks(self):
        return self.made._leaks == "error"
    def voters(self):
        return len(self.made) == 5
    def observers(self):
        return len(self.made.observers) == 2
    def tls(self):
        return self.made.tls is not None
    def sasl(self):
        return self.made.kazoo_options(user="alice")["sasl_options"]["password"] == "secret"
"""
VALUES = {
    "options": "{'maxSessionTimeout': 7000}",
    "virtual_clock": "True",
    "on_disk": "True",
    "leaks": "'error'",
    "voters": "5",
    "observers": "2",
    "tls": "True",
    "sasl": "{'alice': 'secret'}",
}
SERVERS = ["zk_server", "zk_server_factory", "zk_server_module", "zk_server_session"]
ENSEMBLES = ["zk_ensemble", "zk_ensemble_factory"]
LEVELS = ["test", "class", "module"]


def outcome(marker: str, level: str, name: str, fixture: str) -> str:
    """What becomes of a test that asserts that the argument has reached what the fixture makes."""
    if fixture in ENSEMBLES:
        return "ERROR" if name == "virtual_clock" else "PASSED"
    if marker == "zk_ensemble":
        # By its name it is for others of the class or the module.
        return "ERROR" if level == "test" else "FAILED"
    if name in ("voters", "observers") or fixture == "zk_server_session":
        return "ERROR"
    return "PASSED" if fixture != "zk_server_module" or level == "module" else "ERROR"


@pytest.mark.parametrize("marker", ["zk", "zk_ensemble"])
@pytest.mark.parametrize("fixture", [*SERVERS, *ENSEMBLES])
def test_no_argument_is_ignored_silently(
    run: Run, pytester: pytest.Pytester, marker: str, fixture: str
) -> None:
    names = [name for name in VALUES if marker == "zk" or name != "virtual_clock"]
    expected = {}
    files = {}
    made = f"{fixture}()" if fixture.endswith("factory") else fixture
    for name in names:
        for level in LEVELS:
            mark = f"pytest.mark.{marker}({name}={VALUES[name]})"
            files[f"test_{name}_{level}"] = (
                f"{SEEN}\n{f'pytestmark = {mark}' if level == 'module' else ''}\n"
                f"{f'@{mark}' if level == 'class' else ''}\nclass TestIt:\n"
                f"    @{mark if level == 'test' else 'pytest.mark.filterwarnings()'}\n"
                f"    def test_it(self, {fixture}):\n        assert Seen({made}).{name}()\n"
            )
            expected[f"test_{name}_{level}"] = outcome(marker, level, name, fixture)
    pytester.makepyfile(**files)
    result = pytester.runpytest_inprocess("-rA", "-q")
    lines = re.findall(r"^(PASSED|FAILED|ERROR) (\w+)\.py::", str(result.stdout), re.MULTILINE)
    assert {name: word for word, name in lines} == expected


@pytest.mark.parametrize(
    ("mark", "fixtures", "message"),
    [
        (
            "zk(voters=5)",
            "zk_server",
            "says voters=5, but zk_server does not take it: it is for zk_",
        ),
        ("zk(observers=1)", "zk_client", "says observers=1, but zk_server does not take it"),
        ("zk(virtual_clock=True)", "zk_ensemble", "ensembles have no virtual clock"),
        ("zk_ensemble(leaks='warn')", "zk_server", "the marker of single servers is zk"),
        ("zk(leaks='warn')", "zk_server_module", "a test does not change zk_server_module, which"),
        ("zk(leaks='warn')", "zk_server_session", "use zk_server, or set pyzk_options in the ini"),
        (
            "zk(on_disk='/tmp')",
            "zk_server",
            "says on_disk='/tmp'; give True or False; the directory",
        ),
        ("zk(virtual_clock=1)", "zk_server", "says virtual_clock=1; give True or False"),
        ("zk(options='a=b')", "zk_ensemble", "says options='a=b'; give a dictionary of keys of"),
        ("zk(voters='five')", "zk_ensemble", "'five' voters; give 2 to 9, usually 3"),
        (
            "zk_server(on_disk=True)",
            "zk_server",
            "there is no marker zk_server; write @pytest.mark",
        ),
    ],
)
def test_a_marker_that_would_do_nothing_is_told(
    run: Run, mark: str, fixtures: str, message: str
) -> None:
    result = run(
        f"@pytest.mark.{mark}\ndef test({fixtures}): pass", "-Wdefault", ini="pyzk_leaks=warn"
    )
    result.assert_outcomes(errors=1, warnings=1 if "zk_server(" in mark else 0)
    result.stdout.fnmatch_lines([f"*{message.replace('[', '[[]')}*"])


def test_a_marker_that_nobody_asks_for_is_told(run: Run) -> None:
    result = run(
        """
        from pyzk.testing import ZooKeeperServer
        @pytest.fixture
        def mine():
            with ZooKeeperServer() as server:
                yield server
        @pytest.mark.zk(virtual_clock=True)
        def test_own_fixture(mine): pass
        @pytest.mark.zk(virtual_clock=True)
        def test_asks_late(request):
            request.getfixturevalue("zk_server").advance(1)
        @pytest.mark.zk(voters=3)
        def test_asks_late_for_another(request):
            request.getfixturevalue("zk_server")
        @pytest.mark.zk
        def test_a_label(): pass
        @pytest.mark.zk("3.9", member=1)
        def test_of_somebody_else(): pass
        @pytest.mark.zk(virtual_clock=True)
        def test_skipped(): pytest.skip("not today")
        """
    )
    result.assert_outcomes(passed=3, failed=2, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*the marker zk of this test does nothing: it is for zk_server, *",
            "*says voters=3, but zk_server does not take it: it is for zk_ensemble*",
        ]
    )


def test_the_nearest_counts_and_the_marker_of_ensembles_wins_beside_the_other(run: Run) -> None:
    result = run(
        """
        pytestmark = [
            pytest.mark.zk(voters=2, options={"tickTime": 50, "syncLimit": 7}),
            pytest.mark.zk_ensemble(voters=4, options={"tickTime": 60}),
        ]
        def ticks(ensemble):
            config = ensemble[1]._engine.config
            return config.tick_time_ms, config.ensemble.sync_limit_ticks
        def test_module(zk_ensemble):
            assert (len(zk_ensemble), ticks(zk_ensemble)) == (4, (60, 7))
        @pytest.mark.zk(voters=3, options={"tickTime": 70})
        def test_near(zk_ensemble):
            assert (len(zk_ensemble), ticks(zk_ensemble)) == (3, (70, 7))
        @pytest.mark.zk(voters=None)
        def test_taken_back(zk_server):
            assert zk_server._engine.config.tick_time_ms == 50
        """
    )
    result.assert_outcomes(passed=3)


# --- whose client ---------------------------------------------------------------------


def test_a_client_is_of_what_the_test_uses_besides(run: Run) -> None:
    result = run(
        """
        def hosts(client):
            return ",".join(f"{host}:{port}" for host, port in client.hosts)
        @pytest.fixture
        def app(zk_client):
            return zk_client
        @pytest.fixture
        def shared(zk_server_session): pass
        @pytest.mark.zk(voters=3)
        def test_ensemble(zk_client, zk_ensemble, zk_client_factory):
            assert hosts(zk_client) == zk_ensemble.connect_string
            assert hosts(zk_client_factory()) == zk_ensemble.connect_string
            zk_ensemble.server_of(zk_client).kill()
            assert zk_client.retry(zk_client.create, "/a")
        def test_ensemble_by_a_fixture(app, zk_ensemble):
            assert hosts(app) == zk_ensemble.connect_string
        def test_server(zk_server, zk_client):
            assert hosts(zk_client) == zk_server.connect_string
        def test_module(zk_server_module, app):
            assert hosts(app) == zk_server_module.connect_string
        def test_by_a_fixture(shared, zk_client, zk_server_session):
            assert hosts(zk_client) == zk_server_session.connect_string
        def test_named_wins(shared, zk_client, zk_server):
            assert hosts(zk_client) == zk_server.connect_string
        def test_only_a_client(zk_client, request):
            assert hosts(zk_client) == request.getfixturevalue("zk_server").connect_string
        """,
        "--pyzk-leaks=error",
    )
    result.assert_outcomes(passed=7)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "def test(zk_client, zk_server, zk_ensemble): pass",
            "zk_client beside zk_server and zk_ensemble: whose client is meant?"
            " Use zk_client_factory(zk_server), with what it is to be a client of",
        ),
        (
            "def test(zk_client, zk_server_factory): pass",
            "zk_client beside zk_server_factory: whose client is meant?"
            " Use zk_client_factory(server)",
        ),
        (
            "def test(zk_client_factory, zk_ensemble_factory): zk_client_factory()",
            "zk_client_factory() beside zk_ensemble_factory: whose client is meant?",
        ),
        (
            "def test(zk_client_factory): zk_client_factory('127.0.0.1:2181')",
            "TypeError: '127.0.0.1:2181' is not a server; give a server, an ensemble or a member",
        ),
    ],
)
def test_a_client_of_nobody_knows_whom_is_told(run: Run, code: str, message: str) -> None:
    result = run(code)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert message in str(result.stdout)


def test_a_client_of_a_named_server_beside_a_factory(run: Run) -> None:
    result = run(
        """
        def test(zk_client, zk_server, zk_server_factory):
            zk_client.create("/a")
            assert zk_server.tree() == {"/a": b""}
        """
    )
    result.assert_outcomes(passed=1)


BAD = "the marker's options: tickTime: 'abc' is not an integer of at least 1 (milliseconds)"


@pytest.mark.parametrize(
    ("mark", "fixture", "message"),
    [
        ("options={'tickTime': 'abc'}", "zk_server", BAD),
        ("options={'tickTime': 'abc'}", "zk_server_module", BAD),
        ("options={'tickTime': 'abc'}", "zk_ensemble", BAD),
        ("options={'tickTime': 'abc'}", "zk_client", BAD),
        (
            "options={'ticktime': 5}",
            "zk_server",
            "the marker's options: ticktime: unknown*tickTime*",
        ),
        ("leaks='warning'", "zk_server", "leaks is 'warning'; give one of warn, error, ignore"),
        ("leaks='warning'", "zk_ensemble", "leaks is 'warning'; give one of warn, error, ignore"),
        ("voters=0", "zk_ensemble", "*0 voters*"),
    ],
)
def test_what_cannot_be_made_is_told_without_a_traceback(
    run: Run, mark: str, fixture: str, message: str
) -> None:
    result = run(f"pytestmark = pytest.mark.zk({mark})\ndef test({fixture}): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message, "ERROR *::test* - Failed:*"])
    assert "Error:" not in result.stdout.str()
    assert "raise " not in result.stdout.str()


@pytest.mark.parametrize("fixture", ["zk_server", "zk_ensemble"])
def test_a_wrong_option_of_the_ini_file_is_told_with_its_place(run: Run, fixture: str) -> None:
    result = run(f"def test({fixture}): pass", ini="pyzk_options = tickTime=abc")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [BAD.replace("the marker's options", "pyzk_options in the ini file")]
    )


@pytest.mark.parametrize("kind", ["server", "ensemble"])
def test_a_factory_fails_for_its_marker_and_raises_what_its_call_has_wrong(
    run: Run, kind: str
) -> None:
    result = run(
        f"""
        from pyzk.errors import ConfigError
        from pyzk.testing import FixtureError
        @pytest.mark.zk(options={{"tickTime": "abc"}})
        def test_marker(zk_{kind}_factory):
            zk_{kind}_factory()
        @pytest.mark.zk(options={{"tickTime": "5"}})
        def test_call(zk_{kind}_factory):
            with pytest.raises(ConfigError, match="^tickTime: 'abc' is"):
                zk_{kind}_factory(options={{"tickTime": "abc"}})
            with pytest.raises(FixtureError, match="^leaks is"):
                zk_{kind}_factory(leaks="warning")
        """
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([BAD])
