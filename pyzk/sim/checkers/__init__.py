"""What must be true of every run, a file for each subject; `pyzk.sim.checks` feeds them.

Pure. A checker reads and never changes what it looks at.

    chain       one history: prefix consistency, total order, agreement, integrity, primary order
    epochs      one established leader for each epoch, which has all that was committed; both
                epoch numbers only grow
    durability  what counts as committed is on the disks of a quorum, then and ever after
    state       equal digests at equal zxids; equal trees in the end
    model       the history, applied by a few independent lines: what clients must see
    replies     clients: acknowledged writes are in the history, in real-time order; replies come
                in order; reads are the state they claim; watch events come before the new state
"""

from __future__ import annotations


class Violation(Exception):
    """A run that broke a promise."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text
