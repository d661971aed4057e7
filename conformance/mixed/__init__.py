"""Ensembles in which Apache ZooKeeper's servers and this project's serve together.

Shell.  `python -m conformance.mixed --list` says what is tried; see docs/conformance.md.
"""
