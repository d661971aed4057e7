"""One server's request path: connections, reads, writes, sessions.

Pure.
"""
