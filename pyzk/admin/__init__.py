"""What the admin HTTP server answers: commands as JSON, and the pages beside them.

Pure. The shell that speaks HTTP is `pyzk.runtime.admin_port`. ZooKeeper: server.admin
"""
