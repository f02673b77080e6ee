"""A style picture: its inversion, and how other pictures see it."""
