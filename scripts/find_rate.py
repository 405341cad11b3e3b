"""Runs efficientnet/commands/find_rate.py."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
