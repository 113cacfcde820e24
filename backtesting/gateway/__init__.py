"""A simulated IB Gateway: the TWS wire protocol over TCP, in front of the simulated broker.

Modules, from the wire inwards: `frames` (lengths), `codec` (fields), `requests` and `replies` (typed
messages, gated by server version through `gates`), `session` (one client), `service` (answers), `accounts`,
`market` and `broker` (state), `clock` (time), `server` (sockets), `statement` (what is written on leaving).
"""
