"""The extras of the distribution, as messages name them.

Pure. No package index has the distribution, and somebody else could take its name there: so no
message says to install it by name, but from a clone.
"""

from __future__ import annotations


def the_extra(name: str, remark: str = "") -> str:
    """Return an extra with the command that installs it, and a remark about something else that
    helps: what is said to be needed."""
    end = f"; {remark}" if remark else ""
    return f"the extra {name} (in a clone of pyzk: pip install '.[{name}]'{end})"
