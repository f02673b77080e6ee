"""Drawn people: who they are, what varies from picture to picture, and the pictures."""
