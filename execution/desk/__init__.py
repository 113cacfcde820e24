"""What is done with orders: submitted, changed, cancelled, flattened, each behind the gate."""
