"""Asking a peer on its admin port, without HTTP."""

from __future__ import annotations

import json
from typing import Any

from pyzk.admin.answer import Answer, Asked
from pyzk.admin.commands import answer
from pyzk.quorum.peer import Peer


def ask(peer: Peer, name: str, method: str = "GET", **query: str) -> Answer:
    """Ask for ``/commands/<name>``; the answer must not need the shell."""
    found = answer(Asked(peer, f"/{name}", query, method))
    assert found is not None, f"{name} needs the shell"
    return found


def text_of(answer: Answer) -> str:
    """Return the whole body."""
    return b"".join(answer.body).decode()


def body_of(peer: Peer, name: str, **query: str) -> dict[str, Any]:
    """Ask for a command, and return the names and values of its answer."""
    found = ask(peer, name, **query)
    assert (found.status, found.content_type) == (200, "application/json")
    body = json.loads(text_of(found))
    assert isinstance(body, dict)
    return body
