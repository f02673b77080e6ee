"""People in the host's UNet."""
