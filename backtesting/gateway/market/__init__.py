"""What the market does: time, bars, quotes, and the contracts traded in it."""
