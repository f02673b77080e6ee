"""UniPortrait in plain PyTorch: identity embedding, ID routing, ID attention and their files.

Nothing here knows ComfyUI. Devices, dtypes and progress callbacks are handed in by the caller.
"""
