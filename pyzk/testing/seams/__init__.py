"""What a test server hands to production's runner in place of the world.

Shell. Each module answers to a protocol of `pyzk.runtime.seams`, or stands between production and
what does: clients' sockets and their faults, time, storage, the port, the network between members.
All of them stop at one `Gate` while the server is paused. They know no server, only each other and
`pyzk.testing.errors`.
"""
