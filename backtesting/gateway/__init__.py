"""A simulated IB Gateway: the TWS wire protocol over TCP, in front of the simulated broker.

Rooms, from the socket inwards: `server` (sockets, pace of time), `session` (one client), `service` (who is
connected, which desk answers), `wire` (frames, fields, typed messages), `desks` (orders, accounts, contracts,
data), `market` (time, bars, quotes), `faults` (what goes wrong on request), `statement` (written on leaving).
"""
