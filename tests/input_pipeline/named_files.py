"""Files that tell whose content was read."""


def write(folder, *names):
    """Files whose content is their name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def contents(split):
    return {split.read(index).decode(): int(split.labels[index]) for index in range(len(split))}
