"""Whose host a request names, and which names a server has."""

from __future__ import annotations

import pytest

from pyzk.admin.hosts import host_of, is_own, known_names
from pyzk.config.server import parse_config

KNOWN = {"zk1.example.com"}


@pytest.mark.parametrize(
    ("place", "host"),
    [
        ("a.b:80", "a.b"),
        ("A.b", "a.b"),
        ("a.b.:80", "a.b"),
        ("[::1]:8080", "::1"),
        ("[fe80::1]", "fe80::1"),
        ("", ""),
    ],
)
def test_the_host_of_a_place(place: str, host: str) -> None:
    assert host_of(place) == host


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("zk1", True),
        ("a.localhost", True),
        ("zk1.example.com", True),
        ("example.com", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_whose_host_it_is(host: str, own: bool) -> None:
    assert is_own(host, KNOWN) == own


def test_a_lone_server_is_known_by_its_machine_and_its_configuration() -> None:
    config = parse_config(
        b"dataDir=/d\nclientPort=0\nadmin.serverAddress=Admin.Example.com\n"
        b"pyzk.console.hosts=zk.example.com,ZK2.example.com\n",
        (),
        (),
    )
    assert known_names(config, None, "Machine.example.com") == {
        "machine.example.com",
        "admin.example.com",
        "zk.example.com",
        "zk2.example.com",
    }
