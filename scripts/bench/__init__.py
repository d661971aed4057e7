"""Measurements of this server and of the original.

Shell.
"""
