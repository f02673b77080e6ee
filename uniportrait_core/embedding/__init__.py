"""The ID embedding module: aligned faces become identities (paper section 3.2)."""
