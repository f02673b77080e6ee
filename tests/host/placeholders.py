"""Drawings that stand for the user's photos in the pictures of the workflows, which are published with the pack."""

from PIL import Image, ImageDraw

SIZE = (640, 480)
BACKGROUND = "#39424e"
COLOURS = ("#e2a16f", "#6fb7a8", "#a58fd0")
SMOOTH = 4  # drawn this much larger, then scaled down


def drawn_photo(people: int) -> Image.Image:
    """One person or several, head and shoulders."""
    width, height = (side * SMOOTH for side in SIZE)
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    unit = height / (3.4 + people)  # radius of a head
    for index in range(people):
        x = width * (index + 1) / (people + 1)
        y = height * 0.38 + unit * (index % 2) * 0.7
        colour = COLOURS[index % len(COLOURS)]
        draw.ellipse((x - unit, y - unit, x + unit, y + unit), fill=colour)
        shoulders = (x - 1.9 * unit, y + 1.25 * unit, x + 1.9 * unit, height + 3 * unit)
        draw.rounded_rectangle(shoulders, radius=1.4 * unit, fill=colour)
    return picture.resize(SIZE, Image.Resampling.LANCZOS)
