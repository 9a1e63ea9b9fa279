"""Which addresses a process and its descendants listen on, from /proc alone."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from pathlib import Path

LISTENING = "0A"


def tree(pid: int) -> set[int]:
    """A process and its living descendants."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found, todo = set(), [pid]
    while todo:
        found.add(todo[-1])
        todo += children[todo.pop()]
    return found


def listening(pid: int) -> set[str]:
    """The hexadecimal local addresses that the tree of a process listens on, without ports."""
    inodes = {name for each in tree(pid) for name in _sockets(each)}
    lines = [line.split() for file in ("tcp", "tcp6") for line in Path("/proc/net", file).read_text().splitlines()[1:]]
    return {f[1].partition(":")[0] for f in lines if f[3] == LISTENING and f[9] in inodes}


def _sockets(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = str(link.readlink())
                if name.startswith("socket:["):
                    found.add(name[8:-1])
    return found


#: 127.0.0.1 and ::ffff:127.0.0.1 as the kernel writes them on little-endian machines.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
