"""Lists and names of symbols that the configuration tells the files of: read once, where the configuration is.

Workers have no such files, so what stands in them travels as parameters; the files' names are no part of a fingerprint.
"""

from __future__ import annotations

from pathlib import Path

from raypipe.dataset.model_panel import ModelPanelParams
from raypipe.errors import ConfigError
from raypipe.schema.daily_bars import DailyIngest
from raypipe.schema.family import Params
from raypipe.schema.modeling import PanelParams
from raypipe.sources.symbol_lists import read_symbol_list, read_symbol_map

__all__ = ["list_symbols", "name_symbols"]


def list_symbols(sections: dict[str, Params], origin: dict[str, str], folder: Path) -> None:
    """Read the list of symbols of models, ``panel.symbols_file``, into ``model_panel.listed``.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    UsageError
        If it is no list, naming the line.
    """
    panel, own = sections["panel"], sections["model_panel"]
    assert isinstance(panel, PanelParams) and isinstance(own, ModelPanelParams)  # noqa: PT018
    path = folder / panel.symbols_file
    if own.listed or (panel.symbols_file == PanelParams().symbols_file and not path.is_file()):
        return  # the shipped list is not beside every lake; whoever needs it says so
    listed = read_symbol_list(_text_of(path, "panel.symbols_file"), str(path))
    sections["model_panel"] = own.model_copy(update={"listed": listed})
    origin["model_panel.listed"] = f"file {path}"


def name_symbols(sections: dict[str, Params], origin: dict[str, str], folder: Path) -> None:
    """Read what ``ingest.vendor`` calls symbols, by ``ingest.symbol_map``, into ``ohlcv_1d.names``.

    Raises
    ------
    ConfigError
        If one of the two is set without the other, the file cannot be read, or it has no name of the vendor.
    UsageError
        If the file is no map, naming the line.
    """
    ingest = sections["ingest"]
    assert isinstance(ingest, DailyIngest)
    if ingest.vendor is None and ingest.symbol_map is None:
        return
    if ingest.vendor is None or ingest.symbol_map is None:
        msg = "ingest.vendor and ingest.symbol_map go together"
        lacking = "ingest.vendor" if ingest.vendor is None else "ingest.symbol_map"
        raise ConfigError(msg, hint="set both, or neither where files have canonical symbols", key=lacking)
    path = folder / ingest.symbol_map
    known = read_symbol_map(_text_of(path, "ingest.symbol_map"), str(path))
    names = known.of(ingest.vendor)
    if not names:
        vendors = ", ".join(sorted({name.vendor for name in known.names})) or "none"
        msg = f"the map has no name of {ingest.vendor!r}"
        raise ConfigError(msg, hint=f"its vendors: {vendors}", key="ingest.vendor", file=str(path))
    sections["ohlcv_1d"] = sections["ohlcv_1d"].model_copy(update={"names": names})
    origin["ohlcv_1d.names"] = f"file {path}"


def _text_of(path: Path, key: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
        raise ConfigError(msg, key=key, file=str(path)) from None
