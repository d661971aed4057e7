"""Random commands from several clients, on two servers at once, answers compared.

Shell.

requests makes the commands, world runs them on one server, machine compares two worlds.
"""
