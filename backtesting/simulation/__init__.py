"""The fault simulation: library, `ib_insync`, simulated gateway, risk rules and journal in one process.

One seed decides everything: what is traded, which faults come, when. Time is that of a loop that never waits
(`loop`), the wires are in memory (`network`), the disk forgets nothing that was committed (`storage`), and
the trading process may be killed at any step (`trader`). The same seed gives the same trace on every machine.
"""
