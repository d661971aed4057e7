"""The simulator: whole ensembles of real peers under virtual time, network and disks, from a seed.

Pure. A run depends on its seed and on nothing else. docs/simulator.md says how to use it and how to
read its trace.

    options     what kind of run a seed stands for
    settings    the configurations that these options stand for
    run         one run from its seed to its result
    world       time, events, and everything that takes part
    surroundings
                what the parts ask of the world
    machine     one server: the real Peer, what carries out its outbox, its crashes and restarts
    disk        the real code of `pyzk.persistence` over a directory in memory that loses power
    network     connections that delay, stall, break and are cut at any byte
    clients     sessions that write, read, watch and move; `workload` chooses their requests
    faults      what goes wrong, and when it ends
    history     the requests of the clients and their answers
    checkers/   what must be true, after each step and at the end; `checks` calls them
    trace       a line for each event, and a hash of everything
    __main__    the command, which alone is not pure
"""
