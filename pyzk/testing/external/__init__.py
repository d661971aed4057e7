"""Servers that run elsewhere, behind the names of `ZooKeeperServer` and `ZooKeeperEnsemble`.

Shell. It refuses by name what those two offer and the wire does not, so it stands above them;
`pyzk.testing.pytest_plugin` is what uses it.
"""
