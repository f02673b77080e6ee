"""The paper's tables for any folder of pictures (paper sections 4.1 to 4.3, after FastComposer).

`generate` makes the pictures of a protocol on ComfyUI servers, `score` measures folders of pictures, `ablate` draws
curves over settings. Beside the pack, never imported by its nodes.
"""
