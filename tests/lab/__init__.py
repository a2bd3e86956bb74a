"""A lab of simulated devices: real OpenSSH servers, and real AArch64 execution, on this machine alone.

`README.md` beside this file says what is simulated and how to bring a lab up by hand.
"""
