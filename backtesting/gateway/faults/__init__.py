"""What can go wrong, on request and seeded: on the wire, at the broker, in the gateway's week."""
