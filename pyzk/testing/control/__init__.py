"""Orders from outside this process: the table of them, and HTTP.

Shell.
"""
