"""Orders as the evidence shows them: what goes into the state machine, and how it comes back."""
