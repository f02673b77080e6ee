"""How each network is trained."""
