"""The four-letter words that a server can answer: the one list of them.

Pure. The whitelist, the table in docs/operations.md and the tests are made from it; what a word
answers is a function in `pyzk/server/fourletter.py`. ZooKeeper: FourLetterCommands.
"""

from __future__ import annotations

from typing import Final


# No NamedTuple: making the class takes a third of a millisecond of each start.
class FourLetterWord:
    """One word, as the documentation tells it."""

    def __init__(self, shows: str, *, needs_serving: bool = True) -> None:
        self.shows = shows
        self.needs_serving = needs_serving
        """Whether a server that does not serve refuses it."""


FOUR_LETTER_WORDS: Final[dict[str, FourLetterWord]] = {
    "conf": FourLetterWord("the configuration"),
    "cons": FourLetterWord("each client connection, with its session and its numbers"),
    "crst": FourLetterWord("nothing; resets the numbers of all connections"),
    "dirs": FourLetterWord("the bytes of the snapshots and of the logs"),
    "dump": FourLetterWord("sessions and connections with their expiry, and ephemeral znodes"),
    "envi": FourLetterWord("the environment of the process", needs_serving=False),
    "gtmk": FourLetterWord("the trace mask", needs_serving=False),
    "hash": FourLetterWord("the last digests of the tree, by zxid"),
    "isro": FourLetterWord("`ro` for a read-only server, else `rw`", needs_serving=False),
    "mntr": FourLetterWord("every metric, one a line"),
    "ruok": FourLetterWord("`imok`", needs_serving=False),
    "srst": FourLetterWord("nothing; resets the numbers of the server"),
    "srvr": FourLetterWord("the version, the mode and the numbers of the server"),
    "stat": FourLetterWord("what `srvr` shows, and each client connection in brief"),
    "stmk": FourLetterWord("the trace mask, after it is set", needs_serving=False),
    "wchc": FourLetterWord("the watched paths of each session"),
    "wchp": FourLetterWord("the sessions that watch each path"),
    "wchs": FourLetterWord("how many watches there are"),
}
