"""A style picture in the host's sampling."""
