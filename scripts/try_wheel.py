"""Tries an installed pyzk: exits with 0 if a server starts on the compiled core.

    PYTHON scripts/try_wheel.py      PYTHON has the wheel, and need have nothing else

Shell.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

PATIENCE_S = 60.0


def said_at_start(folder: str) -> str:
    """Return what a server writes to standard error until it serves, and stop it."""
    command = [sys.executable, "-P", "-m", "pyzk", "serve", "--port", "0", "--data-dir", folder]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        server.stdout.readline()  # its one line, or the end
        server.terminate()
        return server.communicate(timeout=PATIENCE_S)[1]
    finally:
        server.kill()
        server.wait()


def main() -> int:
    """Try it."""
    with tempfile.TemporaryDirectory(prefix="pyzk-wheel-") as folder:
        said = said_at_start(folder)
    print(said, end="", file=sys.stderr)
    if "compiled core" in said:
        return 0
    print("it does not serve on the compiled core", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
