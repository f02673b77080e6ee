"""Photos in the host become people."""
