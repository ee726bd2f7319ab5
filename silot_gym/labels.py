"""Where a label has room."""

from collections.abc import Iterator, Sequence

Rectangle = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, edges convention."""


def free_place(
    box: Rectangle,
    size: tuple[int, int],
    taken: Sequence[Rectangle],
    picture: tuple[int, int],
) -> tuple[int, int] | None:
    """The upper left corner of a label beside a box that covers nothing; None if there is none.

    Args:
        box: what the label belongs to.
        size: width and height of the label.
        taken: what must not be covered.
        picture: width and height of the picture, in which the label lies as a whole.
    """
    for x, y in _beside(box, *size):
        fits = x >= 0 and y >= 0 and x + size[0] <= picture[0] and y + size[1] <= picture[1]
        covers = any(
            x < x1 and x0 < x + size[0] and y < y1 and y0 < y + size[1] for x0, y0, x1, y1 in taken
        )
        if fits and not covers:
            return x, y
    return None


def _beside(box: Rectangle, width: int, height: int) -> Iterator[tuple[int, int]]:
    """Places beside a box, the best ones first: above and below it, then to its right and left."""
    x0, y0, x1, y1 = box
    middle = (x0 + x1 - width) // 2
    for y in (y0 - height, y1):
        yield from ((x0, y), (middle, y), (x1 - width, y))
    for x in (x1, x0 - width):
        yield from ((x, y0), (x, (y0 + y1 - height) // 2), (x, y1 - height))
