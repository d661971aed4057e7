"""Who a connection is, and what that allows: schemes, ACL checks, ACL fix-up.

Pure.
"""
