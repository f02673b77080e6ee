"""Hair: what hangs behind the head, and what lies before it."""
