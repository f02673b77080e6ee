"""What the pack's scripts in the browser ask of the server."""
