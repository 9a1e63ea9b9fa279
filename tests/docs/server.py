"""A process that has imported everything, and forks itself for each command of a page.

A page has a dozen commands, and most of the time of each would go into imports. Pages run in a real bash whose
``raypipe`` and ``python`` are `CLIENT`: it hands its arguments, folder, environment and streams to this server, passes
signals on, and ends with the child's exit code. Who kills the client kills the child.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading

CLIENT = """\
import json, os, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect(os.environ["DOCS_SERVER"])
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
call = json.dumps({"words": words, "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
server.sendall(call)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: server.sendall(bytes([number])))
code = server.recv(1)
sys.exit(code[0] if code else 137)
"""
KEPT = ("NUMBA_CACHE_DIR",)


def serve(path: str) -> None:
    """Fork a child for every connection, until standard input is closed."""
    _load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while 0 not in (ready := select.select([0, listener.fileno()], [], [])[0]) and ready:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(connection)
        connection.close()
        _reap(os.WNOHANG)
    _reap(0)


def _reap(how: int) -> None:
    """Take leave of children that ended, so that their CPU time counts as the server's, and so as the test's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, how)[0]:
            pass


def _load() -> None:
    """Import what commands import, but for ray."""
    import raypipe
    from raypipe.pipeline.stages import family_catalog

    for name in (
        "boto3",
        "lightgbm",
        "matplotlib.font_manager",
        "numba",
        "optuna",
        "pandas",
        "pyarrow.parquet",
        "sklearn.linear_model",
    ):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(raypipe.__path__, "raypipe."):
        if module.name.split(".")[1] in {"cli", "kernels", "pipeline", "audit", "report", "lake"}:
            importlib.import_module(module.name)
    family_catalog()


def _answer(connection: socket.socket) -> None:
    code = 1
    try:
        words = _become(connection)
        threading.Thread(target=_obey, args=(connection,), daemon=True).start()
        code = _run(words)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code & 255]))
        os._exit(code & 255)


def _become(connection: socket.socket) -> list[str]:
    """Take on streams, folder and environment of the client; its words."""
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    wanted, data = int.from_bytes(size, "big"), b""
    while len(data) < wanted:
        data += connection.recv(wanted - len(data))
    call = json.loads(data)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update(call["env"] | kept)
    os.chdir(call["cwd"])
    words: list[str] = call["words"]
    return words


def _obey(connection: socket.socket) -> None:
    """Signals of the client, and its end."""
    while number := connection.recv(1):
        os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


def _run(words: list[str]) -> int:
    try:
        if words[0] == "raypipe":
            from raypipe.cli.main import main

            return main(words[1:])
        _python(words[1:])
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _python(words: list[str]) -> None:
    """``python -m MODULE ...``, ``python -c CODE``, ``python FILE`` or ``python -``."""
    sys.argv = words
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] in {"-", "-c"}:
        code = sys.stdin.read() if words[0] == "-" else words[1]
        exec(compile(code, "block", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
