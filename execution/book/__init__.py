"""What is owned: fills, cash, positions, their marks, and changes that are no trades."""
