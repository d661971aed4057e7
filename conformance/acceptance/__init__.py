"""The clients that people use, run unchanged against this server.

Shell.

zkCli of 3.8 and 3.9 and the C client's cli_mt must print what they print against the original;
kazoo's recipes and Curator's InterProcessMutex must work.
"""
