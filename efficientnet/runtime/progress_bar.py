"""The line that shows how far a command is."""

import sys

from tqdm import tqdm


class _Lines:
    """Writes tqdm's redrawn line as lines of their own, for logs and pipes."""

    def write(self, text: str) -> None:
        sys.stderr.write(text.replace("\r", "\n"))

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(title: str, images: int, done: int = 0, hidden: bool = False) -> tqdm:
    """Returns a tqdm bar over images, with rate and time left.

    It redraws itself on a terminal; elsewhere it prints a line every ten seconds.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        desc=title,
        total=images,
        initial=done,
        disable=hidden,
        unit=" images",
        file=sys.stderr if terminal else _Lines(),
        mininterval=0.2 if terminal else 10.0,
        ncols=None if terminal else 100,
        ascii=None if terminal else True,
    )
