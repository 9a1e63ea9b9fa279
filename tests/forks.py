"""Functions in processes of their own, mostly to be killed there: each is forked by one process that has imported all.

Started anew, a process pays seconds of imports for milliseconds of work. Run as ``python -m tests.forks``; it takes one
JSON request per line and answers with one line each. It has no threads when it forks, which the process of the tests
cannot say of itself, and has only imported: whatever a child loads, it is the first that loads it.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Child:
    """A function at work."""

    pid: int
    forks: Forks

    def wait(self) -> int:
        """Its exit code, negative for a signal."""
        return self.forks.ask({"wait": self.pid})


@dataclass(frozen=True)
class Forks:
    """The other end: asks for children and waits for them."""

    process: subprocess.Popen

    def start(self, function: str, *args: object, fault: str = "") -> Child:
        """Call ``module:function`` with texts in a child that has this process's environment, and may have a fault."""
        env = {**os.environ, "RAYPIPE_FAULT": fault}
        return Child(self.ask({"function": function, "args": [str(arg) for arg in args], "env": env}), self)

    def run(self, function: str, *args: object, fault: str = "") -> int:
        """The same, waited for: 0, what the function returned, or a negative signal."""
        return self.start(function, *args, fault=fault).wait()

    def ask(self, request: dict[str, Any]) -> int:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """One for all tests of a worker."""
    command = [sys.executable, "-m", "tests.forks"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Forks(process)
        process.stdin.close()


def main() -> None:
    """Serve requests until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            module, _, name = request["function"].partition(":")
            function = getattr(importlib.import_module(module), name)
            answer = os.fork()
            if answer == 0:
                _child(function, request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _child(function: Any, request: dict[str, Any]) -> None:
    from raypipe.lake import faults

    code = 1
    try:
        os.dup2(2, 1)  # standard output belongs to the answers
        os.environ.clear()
        os.environ.update(request["env"])
        tempfile.tempdir = None
        faults.arm(request["env"]["RAYPIPE_FAULT"])
        code = function(*request["args"]) or 0
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
