"""The peer: the one object that a world drives, and its roles.

Pure.
"""
