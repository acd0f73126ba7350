"""The frame number as black and white blocks along the bottom of the picture, to be written and read back by machines.

From the left: three blocks white, black, white as a signature; sixteen blocks with the number modulo 65536, most
significant bit first, white for one; one block of even parity. Twenty blocks, squares of `block_size` pixels.
"""

from typing import Final

BITS: Final = 16
SIGNATURE: Final = (1, 0, 1)
BLOCKS: Final = len(SIGNATURE) + BITS + 1
WHITE: Final = 235  # luma of limited range, ITU-R BT.601
BLACK: Final = 16


def block_size(width: int) -> int:
    """Pixels of a block's side in a picture of this width: even, so that chroma keeps out of it, at most 16."""
    return min(16, width // BLOCKS // 2 * 2)


def blocks(number: int) -> tuple[int, ...]:
    """The twenty blocks of a number, 1 for white."""
    bits = tuple(number >> shift & 1 for shift in range(BITS - 1, -1, -1))
    return (*SIGNATURE, *bits, sum(bits) & 1)


def write(luma: memoryview, line_size: int, width: int, height: int, number: int) -> None:
    """Draws the number into a writable luma plane of `line_size` bytes a row."""
    side = block_size(width)
    row = b"".join(bytes([WHITE if block else BLACK]) * side for block in blocks(number))
    for y in range(height - side, height):
        luma[y * line_size : y * line_size + len(row)] = row


def read(luma: memoryview | bytes, line_size: int, width: int, height: int) -> int | None:
    """The number in a luma plane; None when signature or parity say that there is none."""
    side = block_size(width)
    start = (height - side // 2) * line_size + side // 2
    seen = tuple(int(luma[start + index * side] > 128) for index in range(BLOCKS))
    number = int("".join(map(str, seen[len(SIGNATURE) : -1])), 2)
    return number if seen == blocks(number) else None
