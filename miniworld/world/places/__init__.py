"""Places that people are in."""
