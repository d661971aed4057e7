"""`pyzk health`: against stand-ins, servers in memory, and `pyzk serve` as a process."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyzk.cli import main
from pyzk.exit_codes import HealthCode
from pyzk.runtime.free_ports import free_ports
from pyzk.runtime.health_names import name_of
from pyzk.testing import Certificates, ZooKeeperServer
from tests.cli.stand_in import SRVR, Port
from tests.cli.test_process import ready
from tests.processes import ENVIRONMENT, Child

VERDICT = {"status": "ok", "role": "follower of server 2", "checks": []}


def health(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["health", *arguments])


Stand = Callable[[bytes], str]


@pytest.fixture
def stand() -> Iterator[Stand]:
    """Stands in for a server that answers everything with one text; returns where it is."""
    with ExitStack() as stack:

        def stand(text: bytes) -> str:
            def serve(sock: socket.socket) -> None:
                sock.recv(1 << 16)
                sock.sendall(text)

            port = Port(serve)
            stack.callback(port.close)
            return f"127.0.0.1:{port.number}"

        yield stand


def srvr(mode: str) -> bytes:
    return SRVR.format(zxid=1, mode=mode).encode()


# --- at the client port of any ZooKeeper ----------------------------------------------


@pytest.mark.parametrize("mode", ["leader", "follower", "observer", "standalone"])
def test_a_server_that_serves_is_ready_and_alive(stand: Stand, mode: str) -> None:
    where = stand(srvr(mode))
    result = health(where)
    assert (result.exit_code, result.output) == (0, f"{where} is ready: {mode}\n")
    result = health(where, "--live")
    assert (result.exit_code, result.output) == (0, f"{where} is live: {mode}\n")
    assert health(where, "--ready").exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            b"This ZooKeeper instance is not currently serving requests\n",
            "it does not serve: it has no leader yet, or no quorum; its log says what it waits for",
        ),
        (srvr("read-only"), "it serves reads only: it has lost the quorum"),
    ],
)
def test_a_server_without_a_quorum_is_alive_and_not_ready(
    stand: Stand, text: bytes, said: str
) -> None:
    where = stand(text)
    result = health(where)
    assert (result.exit_code, result.output) == (1, f"{where} is not ready: {said}\n")
    assert health(where, "--live").exit_code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "it closes the connection without an answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "its answer to srvr is not ZooKeeper's: 'HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer to srvr is not ZooKeeper's"),
        (b"Zookeeper version: 3.9\nno mode", "its answer to srvr is not ZooKeeper's"),
        (b"\x15\x03\x03\0\x02\x02\x46", "it takes TLS only at this port: --tls"),
        (b"x" * (2 << 20), "its answer does not end"),
        (b"\xff\xfe", "its answer to srvr is not ZooKeeper's"),
    ],
)
@pytest.mark.parametrize("question", ["--live", "--ready"])
def test_what_is_no_zookeeper_is_neither(
    stand: Stand, text: bytes, said: str, question: str
) -> None:
    result = health(stand(text), question)
    assert result.exit_code == 3
    assert f"is not {question[2:]}: {said}" in result.output


def test_nobody_and_somebody_who_says_nothing_is_code_3() -> None:
    (port,) = free_ports(1)
    result = health(f"127.0.0.1:{port}")
    assert (result.exit_code, result.output) == (
        3,
        f"127.0.0.1:{port} is not ready: connection refused: nothing listens there\n",
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = health(f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.1")
    assert result.exit_code == 3
    assert "no answer within 0.1 s" in result.output
    result = health("no.such.host.invalid:1")
    assert result.exit_code == 3


def test_who_never_ends_has_no_more_time_than_others() -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(16)
        while True:
            sock.sendall(b"x")
            if select.select([sock], [], [], 0.01)[0]:
                return

    port = Port(serve)
    with closing(port):
        result = health(f"127.0.0.1:{port.number}", "--timeout", "0.2")
    assert result.exit_code == 3
    assert "no answer within 0.2 s" in result.output


def test_json_has_all_of_it(stand: Stand) -> None:
    where = stand(srvr("follower"))
    assert json.loads(health(where, "--output", "json").output) == {
        "server": where,
        "question": "ready",
        "healthy": True,
        "exit_code": 0,
        "asked": "srvr",
        "detail": "follower",
        "checks": [],
    }


def test_a_server_in_memory_is_asked_at_its_client_port() -> None:
    with ZooKeeperServer() as server:
        result = health(f"{server.host}:{server.port}", "--output", "json")
        assert result.exit_code == 0
        assert json.loads(result.output)["asked"] == "srvr"


def test_by_tls() -> None:
    certificates = Certificates()
    with ZooKeeperServer(tls=certificates) as server:
        where = f"{server.host}:{server.port}"
        bob = certificates.client()
        options = ["--tls", "--ca", bob.ca_file, "--cert", bob.cert_file, "--key", bob.key_file]
        result = health(where, *map(str, options))
        assert (result.exit_code, result.output) == (0, f"{where} is ready: standalone\n")
        result = health(where, "--tls")
        assert result.exit_code == 3
        assert "its certificate is refused" in result.output
        result = health(where, "--tls", "--ca", "/no/such/file")
        assert result.exit_code == 2
        assert result.output.startswith("pyzk: --ca: /no/such/file")


# --- by HTTP --------------------------------------------------------------------------


def http(status: str, body: object) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: x\r\n\r\n{json.dumps(body)}".encode()


def test_an_admin_port_is_asked_by_http(stand: Stand) -> None:
    where = stand(http("200 OK", VERDICT))
    result = health(f"http://{where}/")
    assert (result.exit_code, result.output) == (
        0,
        f"http://{where}/ is ready: follower of server 2\n",
    )


def test_the_port_of_a_url_is_that_of_an_admin_server(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def refuse(where: object, timeout: float) -> socket.socket:
        asked.append(where)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    # Who runs the tests may have a server at this port.
    monkeypatch.setattr("pyzk.cli.health.names_for", lambda *_, **__: [])
    assert health("http://[::1]").exit_code == 3
    assert health("localhost").exit_code == 3
    assert asked == [("::1", 8080), ("localhost", 2181)]


def test_what_is_wrong_is_said_by_the_server(stand: Stand) -> None:
    checks = [
        {"name": "serving", "ok": True, "detail": "x"},
        {"name": "disk", "ok": False, "detail": "a sync goes on"},
        {"name": "quorum", "ok": False, "detail": "looks for a leader"},
    ]
    where = stand(http("503 x", {"status": "failed", "role": "looking", "checks": checks}))
    result = health(f"http://{where}")
    assert result.exit_code == 1
    assert "is not ready: disk: a sync goes on; quorum: looks for a leader\n" in result.output
    told = json.loads(health(f"http://{where}", "--output", "json").output)
    assert (told["asked"], told["checks"]) == ("http", checks)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"Zookeeper version", "what answers does not talk HTTP"),
        (b"HTTP/1.1\r\n\r\n", "what answers does not talk HTTP"),
        (b"", "it closes the connection without an answer"),
        (http("404 Not Found", "no"), "what answers is no server of pyzk (status 404)"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "what answers is no server of pyzk (status 200)"),
        (http("200 OK", {"checks": [{}], "role": 1}), "what answers is no server of pyzk"),
    ],
)
def test_what_is_no_admin_port_is_code_3(stand: Stand, text: bytes, said: str) -> None:
    result = health(f"http://{stand(text)}")
    assert result.exit_code == 3
    assert said in result.output


# --- arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a:1,b:1",), "one server is asked; pyzk status asks all of an ensemble"),
        (("a:x",), "'a:x' is not HOST:PORT"),
        (("http://a:1/x/y",), "http://a:1/x/y: expected http://HOST:PORT, without a path"),
        (("http://",), "expected http://HOST:PORT"),
        (("--live", "--ready"), "--ready and --live are two questions; ask one"),
        (("--ca", "x"), "pyzk: --ca is for TLS: it needs --tls"),
        (("--timeout", "0"), "is not a number of seconds"),
    ],
)
def test_wrong_arguments_are_code_2(arguments: tuple[str, ...], said: str) -> None:
    result = health(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_the_port_may_stand_in_zoo_cfg(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = stand(srvr("standalone")).split(":")
    path = tmp_path / "zoo.cfg"
    for text in (
        f"clientPort={port}\n",
        f"clientPort={port}\nclientPortAddress={host}\n",
        f"secureClientPort={port}\n",
    ):
        path.write_text(f"dataDir={tmp_path}\n{text}")
        result = health(str(path))
        if "secure" in text:
            assert result.exit_code == 2, "the keys are missing"
        else:
            assert (result.exit_code, result.output) == (
                0,
                f"{host}:{port} is ready: standalone\n",
            )
    path.write_text(f"dataDir={tmp_path}\nclientPort=0\n")
    result = health(str(path))
    assert result.exit_code == 2
    assert "lets the server take any free port; give HOST:PORT" in result.output


# --- at the socket of this machine ----------------------------------------------------

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")


@on_linux
@pytest.mark.parametrize("listens", ["127.0.0.1", "0.0.0.0", "::"])
def test_the_socket_of_a_server_is_asked_first(listens: str) -> None:
    (port,) = free_ports(1)  # nobody is at the client port
    text = http("200 OK", VERDICT)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name_of(listens, port))
        listener.listen()
        for host in ("127.0.0.1", "localhost"):
            process = subprocess.Popen(
                [sys.executable, "-m", "pyzk", "health", f"{host}:{port}", "--output", "json"],
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                text=True,
            )
            sock, _ = listener.accept()
            assert sock.recv(1 << 16).startswith(b"GET /readyz HTTP/1.0\r\n")
            sock.sendall(text)
            sock.close()
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            assert json.loads(out)["asked"] == "local"


@on_linux
def test_a_server_that_does_not_answer_there_is_not_asked_elsewhere(stand: Stand) -> None:
    where = stand(srvr("leader"))
    host, port = where.split(":")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name_of(host, int(port)))
        listener.listen()
        result = health(where, "--timeout", "0.1")
    assert result.exit_code == 3
    assert "no answer within 0.1 s" in result.output


@on_linux
def test_where_there_are_too_many_visitors_the_client_port_is_asked(stand: Stand) -> None:
    where = stand(srvr("leader"))
    host, port = where.split(":")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name_of(host, int(port)))
        listener.listen()

        def turn_away() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=turn_away)
        thread.start()
        result = health(where, "--output", "json")
        thread.join(20)
    assert (result.exit_code, json.loads(result.output)["asked"]) == (0, "srvr")


@on_linux
@pytest.mark.live
def test_a_probe_comes_in_where_a_host_is_full_and_takes_nobodys_place(
    start: Callable[..., Child], patience: float
) -> None:
    process = start("--port", "0", "--max-client-cnxns", "1")
    port = ready(process)
    where = f"127.0.0.1:{port}"
    with socket.create_connection(("127.0.0.1", port)):
        for question in ("--live", "--ready"):
            result = health(where, question, "--output", "json")
            told = json.loads(result.output)
            assert (result.exit_code, told["asked"]) == (0, "local"), told
    process.terminate()
    assert process.wait(patience) == 0
    assert health(where).exit_code == HealthCode.NO_ANSWER


def test_little_is_imported() -> None:
    """A probe runs every few seconds."""
    code = (
        "import sys; from pyzk.cli import main; sys.argv = ['pyzk', 'health', '127.0.0.1:1']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'asyncio', 'ssl', 'attr', 'kazoo', 'aiohttp', 'pyzk.config.server', 'json'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    ).stdout
    assert out.splitlines()[-1] == "[]"


@on_linux
@pytest.mark.live
def test_a_member_without_a_quorum_is_alive_and_says_why_it_is_not_ready(
    start: Callable[..., Child], tmp_path: Path
) -> None:
    client, *others = free_ports(5)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "myid").write_text("1")
    (tmp_path / "zoo.cfg").write_text(
        "dataDir=d\ntickTime=500\ninitLimit=5\nsyncLimit=5\n"
        f"server.1=127.0.0.1:{others[0]}:{others[1]};127.0.0.1:{client}\n"
        f"server.2=127.0.0.1:{others[2]}:{others[3]};127.0.0.1:1\n"
    )
    process = start("zoo.cfg")
    assert process.stdout is not None
    assert "looking for a leader" in process.stdout.readline()
    where = f"127.0.0.1:{client}"
    result = health(where)
    assert (result.exit_code, result.output) == (
        1,
        f"{where} is not ready: serving: no clients are served: there is no leader yet;"
        " quorum: looks for a leader\n",
    )
    assert health(where, "--live").exit_code == 0
