"""Orders from other processes to a `ZooKeeperServer`, as JSON over HTTP.

Shell. It stands above `ZooKeeperServer`, whose methods it calls; `pyzk serve --ephemeral` uses it.
"""
