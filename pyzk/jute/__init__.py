"""Jute, ZooKeeper's record encoding: primitives, frames and records.

Pure.
"""
