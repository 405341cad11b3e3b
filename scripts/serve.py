"""Runs efficientnet/commands/serve.py."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
