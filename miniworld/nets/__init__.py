"""The networks, in the layouts that `training/` and the pack read."""
