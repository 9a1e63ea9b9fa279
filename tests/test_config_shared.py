"""Recipes that several tables follow are set in one section."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.config import load_config
from raypipe.errors import ConfigError


def test_macd_is_set_once_for_all_its_tables(tmp_path: Path):
    (tmp_path / "raypipe.yaml").write_text("macd:\n  state: carry\n  timeframes: [15m, 1m]\n")
    config = load_config(folder=tmp_path, env={})
    assert config.params["macd_state"].macd == config.params["join"].macd == config.params["macd"]  # type: ignore[attr-defined]
    assert config.params["macd"].timeframes == ("1m", "15m")  # type: ignore[attr-defined]
    assert "macd" not in config.masked()["join"]
    assert config.masked()["macd"]["state"] == "carry"
    assert not [key for key in config.origin if key.startswith(("join.", "macd_state."))]


@pytest.mark.parametrize("key", ["join.macd.state", "macd_state.macd", "volume_means.minute.mode"])
def test_it_cannot_be_set_elsewhere(tmp_path: Path, key: str):
    with pytest.raises(ConfigError, match="there is no key"):
        load_config(folder=tmp_path, env={}, sets=[f"{key}=carry"])


def test_a_wrong_recipe_says_where(tmp_path: Path):
    with pytest.raises(ConfigError, match="fast average must be the shorter one"):
        load_config(folder=tmp_path, env={}, sets=["macd.fast=30"])
