"""One server in this process, and what a test controls about it: sockets, time, disk, port.

Shell.
"""
