"""What the host loads for the pack, and the folders that it lies in."""
