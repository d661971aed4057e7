"""The real world: sockets, files, clocks, signals.

Shell. Each module has its own docstring; nothing is imported here.
"""
