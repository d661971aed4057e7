"""One test server: its life, what a test orders and asks, and the thread that it runs in.

Shell. It imports `pyzk.testing.seams` and `pyzk.testing.errors`, and nothing else of the fixture.
"""
