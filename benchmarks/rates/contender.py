"""The process of a contender, which builds a workload and runs it on request (see contest)."""

import json
import os
import pkgutil
import sys
from typing import Any, TextIO

from benchmarks.rates.workload import Setting
from efficientnet.runtime.huge_pages import restart_with_huge_pages


def main() -> None:
    """Answers the requests on standard input until it ends."""
    # Libraries may print to stdout, so the answers go out through another file descriptor.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task = json.loads(sys.stdin.readline())
    build = pkgutil.resolve_name(task["build"])
    workload = build(Setting(**task["setting"]), **task["arguments"])
    _answer(answers, "ready")
    for line in sys.stdin:
        request = json.loads(line)
        _answer(answers, workload.describe() if request == "describe" else workload.run(request))


def _answer(answers: TextIO, what: Any) -> None:
    answers.write(json.dumps(what) + "\n")
    answers.flush()


if __name__ == "__main__":
    restart_with_huge_pages()  # as train.py does
    main()
