"""The device lab: a plan, and in the morning what got worse, and nothing else.

::

    plan ─▶ checks, expansion ─▶ jobs ─▶ conversion ─▶ queue (results/queue.py) ─▶ worker, one a device ─▶ rows
    rows of the nights before (baseline) ─▶ gate ─▶ suspicions ─▶ confirm ─▶ findings ─▶ document ─▶ telling,
                                                                                          junit, summary

``run`` is the way from left to right, ``night`` the part of it that may be killed and goes on where it was. Pure
are expansion, estimate, baseline, gate, levels, confirmation, finding, telling, junit and summary.
"""
