"""Curves over settings: likeness against prompt."""
