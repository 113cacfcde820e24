"""Who answers: each desk takes its kinds of request and tells clients what happened in its field."""
