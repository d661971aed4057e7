"""Measurements beside the original.

Shell.
"""
