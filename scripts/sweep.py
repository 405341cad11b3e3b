"""Runs efficientnet/commands/sweep.py."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
