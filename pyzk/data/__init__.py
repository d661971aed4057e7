"""The replicated state: znodes, sessions, transactions, watches.

Pure.
"""
