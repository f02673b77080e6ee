"""How a picture turned out: likeness and routing, in numbers, words and drawings."""
