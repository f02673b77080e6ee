"""What is to be drawn: people, prompts and seeds, read from files."""
