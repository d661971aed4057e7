"""Several servers in this process, and the network between them.

Shell.
"""
