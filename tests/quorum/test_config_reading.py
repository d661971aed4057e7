"""How much of the configurations that others tell is read."""

from __future__ import annotations

import pytest

from pyzk.quorum.config_reading import BYTES_A_MS
from pyzk.quorum.election import MAX_SHOWN
from pyzk.quorum.election_messages import MAX_CONFIG_BYTES
from pyzk.quorum.election_view import ElectionView
from pyzk.quorum.verifier import QuorumMaj, QuorumVerifier
from tests.quorum.electors import CONFIG, LOOKING, Peer, view_of


class Counting:
    """Reads configurations, and counts how many bytes."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []

    def __call__(self, text: bytes) -> QuorumVerifier:
        self.texts.append(text)
        version = text.rpartition(b"=")[2].split()[0]
        return QuorumMaj([1, 2, 3], version=int(version, 16))


def counted() -> tuple[Peer, Counting]:
    reader = Counting()
    peer = Peer(1, ElectionView(QuorumMaj([1, 2, 3], version=5), CONFIG, None, reader))
    peer.look()
    return peer, reader


def adopted(peer: Peer) -> bytes | None:
    """Return what the election asks to put in force, which is not done."""
    newer, peer.election.newer_config = peer.election.newer_config, None
    return newer


def long_text(number: int, version: str = "6", size: int = MAX_CONFIG_BYTES) -> bytes:
    tail = b"\nversion=" + version.encode()
    return (b"#%d" % number).ljust(size - len(tail), b"#") + tail


@pytest.mark.parametrize("version", ["0", "5", "ffffffffffffffff"])
def test_a_configuration_that_is_no_later_is_not_even_read(version: str) -> None:
    peer, reader = counted()
    for sid in (2, 9):
        peer.hear(sid, LOOKING, sid, config=long_text(1, version))
    assert reader.texts == []
    peer.hear(2, LOOKING, 2, config=b"version=5\n#")
    assert len(reader.texts) == 1, "it says that at another place than the servers do"


def test_strangers_cannot_have_one_configuration_after_another_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer, reader = counted()
    for number in range(20):
        peer.hear(50 + number, LOOKING, 50, config=long_text(number))
    assert len(reader.texts) == 1
    assert "server 51 tells configurations faster than they are read" in caplog.text
    # Neither is a member made to wait for that.
    assert peer.hear(2, LOOKING, 2, config=long_text(100)) == {}
    assert adopted(peer) == long_text(100)
    # The vote counts, and the text is read when it is told again later.
    assert peer.hear(2, LOOKING, 2, config=long_text(101))[3].leader == 2
    assert adopted(peer) is None
    peer.clock.now_ms += MAX_CONFIG_BYTES // BYTES_A_MS + 1
    peer.hear(2, LOOKING, 2, config=long_text(101))
    assert adopted(peer) == long_text(101)
    assert len(reader.texts) == 3


def test_of_a_long_text_that_cannot_be_read_little_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Peer(1, view_of(1, 2, 3))
    peer.look()
    peer.hear(2, LOOKING, 2, config=b"x" * 100_000)
    (line,) = [each for each in caplog.messages if "cannot be read" in each]
    assert len(line) < MAX_SHOWN + 100


def test_configurations_of_a_usual_length_are_read_as_they_come() -> None:
    peer, reader = counted()
    for number in range(50):
        peer.hear(9, LOOKING, 9, config=long_text(number, size=2000))
    assert len(reader.texts) == 50
