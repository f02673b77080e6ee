"""UniPortrait for ComfyUI: keeps the faces of one person or several."""

if __package__:  # test runners may import this file on its own, without its package
    from .host.version import check_host

    check_host()

    from .nodes import comfy_entrypoint

    WEB_DIRECTORY = "./web"

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
