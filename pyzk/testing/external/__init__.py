"""Servers that run elsewhere, behind the names of `ZooKeeperServer` and `ZooKeeperEnsemble`.

Shell.
"""
