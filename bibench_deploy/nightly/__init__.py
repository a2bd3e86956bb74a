"""The device lab: a plan, a night, and in the morning what got slower, and nothing else.

``plan`` reads lab.toml, ``gate`` decides what changed, ``junit`` and ``summary`` say it to a CI system.
"""
