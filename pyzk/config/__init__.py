"""The configuration: zoo.cfg, the files of an ensemble, -D properties.

Pure. `keys` is the table of keys, `server` and `ensemble` read by it.
"""
