"""Runs efficientnet/commands/prepare_data.py."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
