"""The device lab: a plan, and in the morning what got worse, and nothing else.

``plan`` reads lab.toml, ``gate`` decides what changed, ``junit`` says it to a CI system.
No command runs a night yet.
"""
