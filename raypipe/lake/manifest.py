"""What a partition says of itself: the key-value metadata of its Parquet footer.

The footer is the manifest, so no second file can fall out of step with the data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from raypipe.errors import PartitionError

__all__ = ["FORMAT", "PREFIX", "InputSummary", "Manifest"]

#: Raised when a reader of this version could not understand the keys any more.
FORMAT = 1
PREFIX = "raypipe."
_TEXT = ("table", "partition", "fingerprint", "params", "schema", "code_version")
_NUMBERS = ("version", "rows")
_RESERVED = frozenset({*_TEXT, *_NUMBERS, "lineage", "format"})


@dataclass(frozen=True, slots=True)
class InputSummary:
    """What one input table contributed.

    Attributes
    ----------
    first, last
        First and last partition read; empty if none.
    count
        Number of partitions read.
    digest
        Digest over the fingerprints of all of them.
    """

    first: str
    last: str
    count: int
    digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Identity and history of one partition.

    There is no creation time: equal inputs give equal bytes, and a time would make every rebuild
    another file. When a partition was made stands in the record of its run.

    Attributes
    ----------
    table, partition
        Which partition the file is; a file under another name is refused.
    fingerprint
        Hash over everything that decides the content.
    version
        Version of the family that made it.
    params, schema
        Digests of the parameters and of the declared schema.
    inputs
        Per input table, what it contributed.
    rows
        Number of rows; the writer fills it in.
    code_version
        Version of raypipe that wrote the file.
    facts
        Further keys of the footer, such as ``rth_open_ns``.
    """

    table: str
    partition: str
    fingerprint: str
    version: int
    params: str
    schema: str
    inputs: Mapping[str, InputSummary] = field(default_factory=dict)
    rows: int = 0
    code_version: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def to_metadata(self) -> dict[bytes, bytes]:
        """Footer keys, sorted: ``raypipe.fingerprint``, ``raypipe.lineage`` (JSON), ``raypipe.<fact>`` ...

        Raises
        ------
        ValueError
            If a fact has the name of another key.
        """
        clash = _RESERVED & set(self.facts)
        if clash:
            msg = f"facts of {self.table} may not be named {sorted(clash)}"
            raise ValueError(msg)
        lineage = json.dumps({k: asdict(v) for k, v in self.inputs.items()}, sort_keys=True, separators=(",", ":"))
        values = {name: str(getattr(self, name)) for name in (*_TEXT, *_NUMBERS)}
        values |= {"format": str(FORMAT), "lineage": lineage, **self.facts}
        return {(PREFIX + name).encode(): values[name].encode() for name in sorted(values)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes] | None) -> Manifest:
        """Read what `to_metadata` wrote; keys of others are passed over.

        Raises
        ------
        PartitionError
            If the keys are missing, damaged, or of a later format.
        """
        try:
            texts = {k.decode(): v.decode() for k, v in (metadata or {}).items() if k.startswith(PREFIX.encode())}
            values = {name.removeprefix(PREFIX): text for name, text in texts.items()}
            if not values:
                msg = "the file was not written by raypipe: its footer has no manifest"
                raise PartitionError(msg, hint="move it away and rebuild the partition")
            _check_format(values["format"])
            stated: dict[str, Any] = {name: values[name] for name in _TEXT}
            stated |= {name: int(values[name]) for name in _NUMBERS}
            return cls(
                **stated,
                inputs={table: InputSummary(**summary) for table, summary in json.loads(values["lineage"]).items()},
                facts={name: text for name, text in values.items() if name not in _RESERVED},
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            msg = f"the manifest in the footer is damaged: {type(error).__name__} {error}"
            raise PartitionError(msg, hint="rebuild the partition") from error


def _check_format(text: str) -> None:
    if int(text) > FORMAT:
        msg = f"the file has manifest format {text}; this version reads up to {FORMAT}"
        raise PartitionError(msg, hint="use a newer raypipe, or rebuild the partition")
