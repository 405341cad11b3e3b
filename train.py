"""Runs efficientnet/commands/train.py, from the flags to `efficientnet.training.run`."""

from efficientnet import commands

if __name__ == "__main__":
    commands.run()
