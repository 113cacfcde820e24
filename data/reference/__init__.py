"""What is traded and what is known of it: contracts, members of universes, fundamentals."""
