"""What survives a crash: the transaction log, snapshots, and recovery from both.

Pure.
"""
