"""Numbers from features: distances of distributions, and how sure a mean is."""
