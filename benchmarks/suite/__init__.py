"""What ``benchmarks/native.py`` is made of; data flows downwards.

::

    cases        what is compared: a case is one library with one network and one number of threads
    networks     networks exported, converted and verified, as a user would
    peers        a case opened: a process that times a block of runs
    ceilings     the popcount and FMA ceilings of a core, as one more peer
    rounds       who has its turn when (pure), and the measuring itself
    statistics   samples → medians, spreads and ratios (pure)
    bars         what the project demands of itself, and whether it is met (pure)
    layers       single binary layers against the popcount ceiling
    scaling      cost over channels, image size and threads (pure, but for the taking)
    footprint    sizes and memory
    aarch64      what can be said of ARM without one
    machine      the machine and what else it did meanwhile
    markdown     tables (pure)
    tables       what was measured of networks, as tables (pure)
    sections     the parts of the report
"""
