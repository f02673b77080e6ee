"""Several people at one ComfyUI at once: what they queue, in what order, and whether each gets what is theirs."""
