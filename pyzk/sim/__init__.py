"""The simulator: whole ensembles of real peers under virtual time, network and disks, from a seed.

Pure. A run depends on its seed and on nothing else. docs/simulator.md says how to use it and how to
read its trace.

    options     what kind of run a seed stands for
    world       time, events, and everything that takes part
    surroundings  what the parts ask of the world
    machine     one server: the real Peer, what carries out its outbox, its crashes and restarts
    disk        persistence's real code over a directory in memory that loses power
    network     connections that delay, stall, break and are cut at any byte
    clients     sessions that write, read, watch and move; `workload` chooses what
    faults      what goes wrong, and when it ends
    history     what the clients were told
    checkers/   what must be true, after each step and at the end
    trace       one line an event, and a hash of everything
    __main__    the command, which alone is not pure
"""
