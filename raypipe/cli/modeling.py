"""Options that the commands of modelling share: where rows come from, and what is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from raypipe.training.inputs import Asked

__all__ = ["asked_of", "data_options", "symbols_option", "target_options"]


def target_options() -> tuple[click.Option, ...]:
    """``--target`` and ``--horizon``."""
    return (
        click.Option(["--target"], metavar="TARGET", help="What is predicted, such as direction_5d or vol_regime."),
        click.Option(["--horizon"], type=click.IntRange(1), metavar="N", help="Its sessions, if the name has none."),
    )


def symbols_option() -> click.Option:
    """``--symbols-file``."""
    return click.Option(["--symbols-file"], metavar="FILE", help="The symbols, one per line: panel.symbols_file.")


def data_options(features: str = "--features") -> tuple[click.Option, ...]:
    """Another table or file than `gold/model_panel`, and what of it counts.

    Parameters
    ----------
    features
        Name of the option that says which columns are features; commands that take a file of features have another.
    """
    return (
        click.Option(
            ["--data-path", "--table", "--input-dir", "data_path"],
            metavar="TABLE|FILE|DIR",
            help="Features from this table, file or folder instead of gold/model_panel.",
        ),
        click.Option(
            [features, "features" if features == "--features" else "columns"],
            metavar="a,b|@FILE|re:PATTERN",
            help="Which columns of it are features, where roles do not say so.",
        ),
        click.Option(["--label"], metavar="COLUMN", help="Which column of it is the label, instead of --target."),
        click.Option(["--label-end"], metavar="COLUMN", help="The nanosecond at which that label ends."),
    )


def asked_of(options: dict[str, Any]) -> Asked:
    """What `data_options` were given; they are taken out of the options."""
    from raypipe.training.inputs import Asked

    names = ("data_path", "columns" if "columns" in options else "features", "label", "label_end")
    data, features, label, label_end = (options.pop(name) or "" for name in names)
    return Asked(data=data, features=features, label=label, label_end=label_end)
