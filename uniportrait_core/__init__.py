"""UniPortrait in plain PyTorch: faces, ID embedding, ID routing, ID attention, style pictures, results and files.

Nothing here knows ComfyUI. Devices, dtypes and progress callbacks are handed in by the caller.
"""
