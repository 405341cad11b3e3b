"""Runs efficientnet/commands/convert_weights.py."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
