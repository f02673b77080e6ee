"""Photos, and pictures of other things, become people in the host."""
