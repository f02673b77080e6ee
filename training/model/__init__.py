"""What is trained, inside a frozen UNet of diffusers."""
