"""Every group of states of a touch against its definition, on sessions at random."""

from __future__ import annotations

import dataclasses

import pytest

from raypipe.features.touch import approach, context, hierarchy, reversion, runway, stacked, transforms
from raypipe.features.touch.group import add_columns, in_order
from tests.features.touch.walks import TARGET, Walk, random_walk
from tests.reference import touch_state as naive

GROUPS = {
    module.GROUP.name: module.GROUP for module in (approach, context, hierarchy, reversion, runway, stacked, transforms)
}
#: Columns of groups that are not judged here stand in the scene.
OURS = in_order(
    {name: dataclasses.replace(group, after=tuple(set(group.after) & set(GROUPS))) for name, group in GROUPS.items()}
)


def same(got: object, wanted: object) -> bool:
    """Equal; floats but for their last digits."""
    return got == (pytest.approx(wanted, rel=1e-9, abs=1e-9) if isinstance(wanted, float) else wanted)


def expected(walk: Walk) -> list[naive.Row]:
    """All columns of all rows by their definitions."""
    kinds = walk.params.levels.kinds
    warm = [(session.open_ns, session.close_ns, bars) for session, bars, _ in walk.before]
    made = []
    for row, way in zip(walk.rows, naive.approach(walk.rows, walk.bars), strict=True):
        found = naive.reversion(row, walk.bars, walk.warm, walk.trades)
        found |= naive.context(row, walk.bars, TARGET.open_ns, found) | way
        whole = row | found
        found |= naive.stacked(whole, kinds, walk.prints) | naive.runway(whole, kinds, walk.prints)
        ratio = naive.relative_volume(row["decision_ns"], TARGET.open_ns, walk.bars, warm)
        found |= naive.hierarchy(whole, TARGET.open_ns, ratio)
        made.append(found | naive.transforms(row | found))
    return made


@pytest.mark.parametrize(
    "walk",
    [
        *(pytest.param(random_walk(seed), id=f"seed {seed}") for seed in range(4)),
        pytest.param(random_walk(4, kinds=(0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), holes=0.0), id="default kinds"),
        pytest.param(random_walk(5, kinds=(8,), holes=0.9), id="hardly a level"),
    ],
)
def test_all_columns_follow_their_definitions(walk):
    columns = add_columns(walk.scene(), OURS)
    wanted = expected(walk)
    assert set(columns) == {*wanted[0], "level_price_pct"}
    for name in wanted[0]:
        got, values = columns[name].to_pylist(), [row[name] for row in wanted]
        wrong = [i for i, pair in enumerate(zip(got, values, strict=True)) if not same(*pair)]
        assert not wrong, f"{name}, rows {wrong}: {[(got[i], values[i]) for i in wrong[:3]]}"
    assert columns["level_price_pct"].equals(columns["distance_signed_pct"])


def test_the_sample_sees_something():
    columns = add_columns(random_walk(1, 400).scene(), OURS)
    constant = sorted(name for name, column in columns.items() if len(set(column.to_pylist())) < 2)
    assert not constant


@pytest.mark.parametrize("group", OURS, ids=lambda group: group.name)
def test_types_and_nulls_are_as_declared(group):
    columns = add_columns(random_walk(2).scene(), OURS)
    for column in group.columns:
        assert columns[column.name].type == column.arrow.type, column.name
        assert column.nullable or not columns[column.name].null_count, column.name


def test_no_touch_no_rows():
    walk = random_walk(0, 1)
    scene = walk.scene()
    empty = dataclasses.replace(scene, touches=scene.touches.slice(0, 0), _added={})
    empty.add({name: column.slice(0, 0) for name, column in scene._added.items()})
    assert {len(column) for column in add_columns(empty, OURS).values()} == {0}


def test_nothing_traded_before():
    """No bar, no trade, no session before: nulls and zeros, no error."""
    walk = dataclasses.replace(random_walk(6), bars=[], trades=[], before=[], prints=[])
    columns = add_columns(walk.scene(), OURS)
    for name in ("sma_200", "atr", "rel_vol_ratio", "approach_distance", "mean_reversion_velocity_200"):
        assert columns[name].null_count == len(walk.rows), name
    assert set(columns["confluence_level"].to_pylist()) == {0}
