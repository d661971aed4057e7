"""Proof against the original: recordings, differential runs, foreign clients, disk and durability.

Shell.

Nothing here is part of the server.  Each submodule runs by itself (`python -m conformance.NAME`);
docs/conformance.md says what each one proves and what it needs.
"""
