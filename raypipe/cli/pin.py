"""``raypipe pin``: a data set named by the hashes of its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from raypipe.cli.app import App
from raypipe.cli.options import PATH, command
from raypipe.cli.present import bytes_text
from raypipe.errors import UsageError

__all__ = ["pin"]


@command(
    "pin",
    "Hash every file of a data set into one small file, or hold the data against it.",
    click.Option(["--input", "source"], metavar="URI", help="A file, a folder, s3://bucket/prefix; or a pin."),
    click.Option(["--output"], type=PATH, metavar="FILE", help="Where the pin is written: pin.json otherwise."),
    click.Option(["--verify"], is_flag=True, help="Write nothing: --input is a pin, its files are hashed again."),
)
def pin(app: App, source: str | None, output: Path | None, *, verify: bool) -> int:
    """Pin data, or verify a pin."""
    import os

    from raypipe.training.pin import find_input, make_pin, read_pin, verify_pin
    from raypipe.training.workspace import publish

    lake = app.config().lake
    given = find_input(source, os.environ, Path.cwd())
    if given is None:
        msg = "--input is missing"
        raise UsageError(msg, hint="for example raypipe pin --input s3://bucket/panel --output pin.json")
    reach: dict[str, Any] = {"endpoint_url": lake.endpoint_url, "profile": lake.profile}
    if verify:
        found = read_pin(given.uri, **reach)
        verify_pin(found, **reach)
        said = "stands"
    else:
        path = output or Path("pin.json")
        if path.absolute().is_relative_to(Path(given.uri).absolute()):
            msg = f"the pin {path} would be one of the files that it pins"
            raise UsageError(msg, hint="write it elsewhere: --output")
        found = make_pin(given.uri, **reach)
        publish(path, found.to_json())
        said = f"written to {path}"
    size = sum(one.bytes for one in found.files)
    line = f"{found.uri} ({given.origin}): {len(found.files)} files, {bytes_text(size)}, {found.start or '-'} .. "
    line += f"{found.end or '-'}, {found.n_symbols if found.n_symbols is not None else '-'} symbols"
    document = {"uri": found.uri, "origin": given.origin, "pin_sha256": found.sha256, "files": len(found.files)}
    app.show(document, [line, f"pin {found.sha256[:12]} {said}"])
    return 0
