"""From prepared shards, or a plain folder of pictures, to the batches of a step."""
