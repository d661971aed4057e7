"""Several test servers on one loop, and what a test may do to each.

Shell. It stands on `pyzk.testing.core` and `pyzk.testing.seams`; `pyzk.testing.ensemble` is what
users hold in their hands.
"""
