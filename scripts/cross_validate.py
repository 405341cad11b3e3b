"""Runs efficientnet/commands/cross_validate.py."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
