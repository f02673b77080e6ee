"""What is added to the host's UNet."""
