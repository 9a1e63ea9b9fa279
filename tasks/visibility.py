"""Proof that every node sees the same lake.

A local path is another disk on every machine unless the folder is shared. Writing there from many nodes would scatter
the lake without an error, so the driver leaves a probe in the folder, each node is asked for it before any work
starts, and each job asks again, because a node may join later.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from raypipe.errors import ClusterError, UsageError
from tasks.cluster import Node, working_nodes

__all__ = ["Probe", "exists", "refusal"]

#: Seconds for one node to answer.
NODE_SECONDS = 60.0
HINT = "use an s3:// lake, or a folder that all nodes mount at the same place"


def exists(path: str) -> bool:
    """Whether this process sees a file."""
    return Path(path).exists()


class Probe:
    """A file in a local lake that every node has to see.

    Parameters
    ----------
    root
        The lake's folder.
    sees
        Whether the process that calls it sees a file; a module-level function.
    """

    def __init__(self, root: str, sees: Callable[[str], bool] = exists) -> None:
        self.root = root
        # The name is that of a temporary file of the lake, so `raypipe gc` sweeps it if the driver is killed.
        self.path = f"{root}/.probe.{os.getpid()}-{secrets.token_hex(6)}.tmp"
        self._sees, self._asked = sees, set[str]()
        Path(root).mkdir(parents=True, exist_ok=True)
        Path(self.path).touch()

    def ask_nodes(self) -> None:
        """Ask every node that was not asked before.

        Raises
        ------
        UsageError
            If a node that can take jobs does not see the probe.
        ClusterError
            If a node does not answer.
        """
        new = [node for node in working_nodes() if node.id not in self._asked]
        blind = [node.name for node, seen in zip(new, self._answers(new), strict=True) if not seen]
        if blind:
            raise refusal(self.root, blind)
        self._asked.update(node.id for node in new)

    def remove(self) -> None:
        """Take the probe away."""
        Path(self.path).unlink(missing_ok=True)

    def _answers(self, nodes: Iterable[Node]) -> list[bool]:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ask = ray.remote(num_cpus=0)(self._sees)
        there = (NodeAffinitySchedulingStrategy(node.id, soft=False) for node in nodes)
        answers = [ask.options(scheduling_strategy=strategy).remote(self.path) for strategy in there]
        try:
            found: list[bool] = ray.get(answers, timeout=NODE_SECONDS)
        except (TimeoutError, ray.exceptions.RayError) as error:
            msg = f"a node does not answer: {str(error).splitlines()[0]}"
            raise ClusterError(msg, hint="look at `ray status`, then run again") from error
        return found


def refusal(root: str, nodes: list[str]) -> UsageError:
    """The error for nodes that do not see a lake."""
    msg = f"the lake is a folder that {', '.join(sorted(nodes))} cannot see"
    return UsageError(msg, hint=HINT, lake=root)
