"""What real servers of 3.8.0 and 3.9.3 sent each other on the election port, to the last byte."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pyzk.quorum.election_messages import (
    FrameScanner,
    Notification,
    decode_initial_message,
    decode_notification,
    frame,
)

STREAMS = Path(__file__).parents[1] / "testdata" / "election" / "streams.jsonl.gz"


@cache
def streams() -> list[dict[str, Any]]:
    with gzip.open(STREAMS, "rt") as lines:
        return [json.loads(line) for line in lines]


RECORDINGS = sorted({stream["recording"] for stream in streams()})


@pytest.mark.parametrize("recording", RECORDINGS)
def test_every_stream_decodes_to_its_last_byte_and_encodes_to_the_same(recording: str) -> None:
    for stream in streams():
        if stream["recording"] == recording:
            _check(stream, bytes.fromhex(stream["hex"]))


def _check(stream: dict[str, Any], data: bytes) -> None:
    assert hashlib.sha256(data).hexdigest() == stream["sha256"]
    expected = stream["frames"]
    encoded = b""
    if stream["dir"] == "c2s":
        decoded = decode_initial_message(data)
        assert decoded is not None
        initial, taken = decoded
        assert [initial.version, initial.sid, str(initial.addresses[0])] == expected[0]
        assert initial.sid == stream["from"]
        assert initial.reachable == initial.addresses
        encoded = initial.encode()
        assert taken == len(encoded)
        data, expected = data[taken:], expected[1:]
    payloads = FrameScanner().feed(data)
    notifications = [decode_notification(payload) for payload in payloads]
    assert [_listed(each) for each in notifications] == expected
    encoded += b"".join(frame(each.encode()) for each in notifications)
    assert encoded == bytes.fromhex(stream["hex"])


def _listed(notification: Notification) -> list[object]:
    assert notification.config is not None
    return [*notification[:6], notification.config.decode()]


def test_the_recordings_are_all_there() -> None:
    assert len(RECORDINGS) == 32
    assert sum(len(stream["frames"]) for stream in streams()) == 1094
