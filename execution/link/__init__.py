"""The life of the connection: heartbeat, outages, and the week of the gateway."""
