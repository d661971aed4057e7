"""What `pyzk serve` and `pyzk config check` say about a wrong setting, and where they say it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.served import Served, check, zoo_cfg
from tests.processes import python


def test_a_wrong_file_is_named_with_line_and_key(serve: Served, tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=one\n")
    result = serve(path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"pyzk: {path}: line 2: clientPort: 'one' is not")
    path = zoo_cfg(tmp_path, "clientPort=1\n")
    assert serve(path).stderr.startswith(f"pyzk: {path}: dataDir: is not set")


def test_what_is_not_in_the_file_is_said_without_its_name(serve: Served, tmp_path: Path) -> None:
    path = zoo_cfg(tmp_path, "dataDir=/d\nclientPort=1\n")
    given = serve(path, "--port", "abc")
    assert given.exit_code == 2
    assert given.stderr == "pyzk: --port: 'abc' is not an integer from 0 to 65535\n"
    said = "pyzk: -Djute.maxbuffer: 'x' is not an integer of at least 1 (bytes)\n"
    assert serve(path, "-Djute.maxbuffer=x").stderr == said
    assert check(path, "-Djute.maxbuffer=x").stderr == said
    (tmp_path / "p").write_text("zookeeper.snapCount=x\n")
    assert serve(path, "--properties", str(tmp_path / "p")).stderr.startswith(
        f"pyzk: {tmp_path}/p line 1: zookeeper.snapCount: 'x' is not"
    )


@pytest.mark.parametrize(
    "members", ["", "initLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2\n"]
)
def test_a_host_without_a_port_is_told_what_it_sets(
    serve: Served, tmp_path: Path, members: str
) -> None:
    (tmp_path / "myid").write_text("1")
    lines = f"dataDir={tmp_path}\nsecureClientPort=2281\n{members}"
    stores = "ssl.keyStore.location=k.pem\nssl.trustStore.location=t.pem\n"
    path = zoo_cfg(tmp_path, lines + stores)
    assert serve(path, "--host", "127.0.0.1").stderr == (
        "pyzk: --host: sets clientPortAddress, and there is no clientPort; for the secure port set"
        " secureClientPortAddress in zoo.cfg\n"
    )


def test_what_a_start_refuses_is_told_as_config_check_does(tmp_path: Path) -> None:
    path = zoo_cfg(
        tmp_path,
        "dataDir=/d\nsecureClientPort=2281\nadmin.enableServer=false\n"
        "ssl.keyStore.location=/no/k.pem\nssl.trustStore.location=/no/t.pem\n",
    )
    started, checked = python("-m", "pyzk", "serve", path, check=False), check(path)
    assert started.returncode == checked.exit_code == 2
    assert started.stderr == checked.stderr
    assert checked.stderr == (
        f"pyzk: {path}: ssl.keyStore.location: /no/k.pem cannot be read: No such file or"
        " directory\n"
    )


def test_a_wrong_properties_file_is_named_with_line_and_name(serve: Served, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text("\nzookeeper.snapCount=x\n")
    assert serve("--properties", str(path)).stderr.startswith(
        f"pyzk: {path} line 2: zookeeper.snapCount: 'x' is not"
    )
    path.write_text("a=\\u00\n")
    assert serve("--properties", str(path)).stderr.startswith(f"pyzk: {path}: line 1: malformed")
