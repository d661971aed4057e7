"""The configuration: zoo.cfg, the files of an ensemble, -D properties.

Pure. `keys` is the table of keys, `settings` the reader, `server` and `ensemble` build the two
results.
"""
