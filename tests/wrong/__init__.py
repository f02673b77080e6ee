"""Wrong files and wrong inputs by the thousand, made from fixed seeds, and what is demanded of whoever gets them.

`files` has the kinds of files, `damage`, `tensors` and `traps` make them wrong, `inputs` the inputs of nodes; `demands`
judges what comes of it, `guard` sees whether code ran or something was written where it should not be.
"""
