"""Runs efficientnet/commands/show_augmentations.py."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
