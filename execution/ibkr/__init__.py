"""The only place that knows ib_insync and the layout of TWS messages."""
