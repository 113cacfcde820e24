"""Agreement with the broker: the barrier, what differs, what stays in doubt and how it is settled."""
