"""The course of a training: dice, loss, steps, checkpoints, logs."""
