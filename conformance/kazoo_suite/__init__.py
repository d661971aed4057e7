"""kazoo's own test suite, unmodified, on clusters of this server.

Shell.  kazoo starts `java …QuorumPeerMain zoo.cfg`; that is scripts/java where scripts/ is first
on PATH.
"""
