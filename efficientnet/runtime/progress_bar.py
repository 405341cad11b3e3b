"""The line that shows how far a command is, or the bar in a notebook."""

import sys

from tqdm import auto, notebook, tqdm


class _Lines:
    """Writes tqdm's redrawn line as lines of their own, for logs and pipes."""

    def write(self, text: str) -> None:
        sys.stderr.write(text.replace("\r", "\n"))

    def flush(self) -> None:
        sys.stderr.flush()


def progress_bar(title: str, images: int, done: int = 0, hidden: bool = False) -> tqdm:
    """Returns a tqdm bar over images, with rate and time left.

    It is a widget in a notebook and redraws itself on a terminal; elsewhere it prints a line every
    ten seconds.
    """
    settings = {
        "desc": title,
        "total": images,
        "initial": done,
        "disable": hidden,
        "unit": " images",
    }
    if issubclass(auto.tqdm, notebook.tqdm):
        return auto.tqdm(**settings)
    terminal = sys.stderr.isatty()
    return tqdm(
        **settings,
        file=sys.stderr if terminal else _Lines(),
        mininterval=0.2 if terminal else 10.0,
        ncols=None if terminal else 100,
        ascii=None if terminal else True,
    )
