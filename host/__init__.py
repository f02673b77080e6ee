"""The host's side: models under its memory management, patches in its UNet, wrappers around its samplers."""
