"""From SVG to pixels, by ThorVG."""

import numpy as np
import thorvg_python as thorvg


def rasterize(svg: str, width: int, height: int) -> np.ndarray:
    """Draw an SVG document, RGB, (height, width, 3), uint8; what nothing covers is black."""
    with thorvg.Engine(threads=0) as engine:
        canvas = thorvg.SwCanvas(engine)
        canvas.set_target(width, height)
        document = thorvg.Picture(engine)
        document.load_data(svg.encode(), "svg", None, copy=True)
        document.set_size(width, height)
        canvas.add(document)
        canvas.update()
        canvas.draw(True)
        canvas.sync()
        pixels = np.frombuffer(canvas.buffer_arr, np.uint8).reshape(height, width, 4)[..., :3].copy()
        canvas.destroy()
    return pixels
