"""Comparison with the original: recordings, differential runs, other clients, disk, durability.

Shell.

Nothing here is part of the server.  Each submodule runs by itself (`python -m conformance.NAME`);
docs/conformance.md says what each one proves and what it needs.
"""
