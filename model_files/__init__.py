"""What `get_models.py` gets, in `files.json`, and how: sized, hashed, whole or not at all."""
