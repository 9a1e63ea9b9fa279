"""Which job may start, and when: any order of endings, failures, and needs that reach further than what is built."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from raypipe.lake.location import Location
from raypipe.pipeline.job import Job, Outcome, Span, Target
from raypipe.pipeline.plan import Plan
from raypipe.pipeline.schedule import Schedule

#: Per job of each wave, the numbers of the jobs that it reads.
Waves = Sequence[Sequence[Sequence[int]]]


def job(*partitions: str, needs: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> Job:
    """A job that builds partitions of the table ``t``; ``needs`` has spans of it by partition."""
    spans = {key: tuple(Span("t", *span) for span in found) for key, found in (needs or {}).items()}
    targets = (Target("t", "t", key, "0", "missing", needs=spans.get(key, ())) for key in partitions)
    return Job(Location("/lake"), tuple(targets), {}, {})


def reader(number: int, reads: Sequence[int]) -> Job:
    return job(f"{number:02}", needs={f"{number:02}": [(f"{one:02}", f"{one:02}") for one in reads]})


def plan(*waves: Sequence[Job]) -> Plan:
    return Plan((), tuple(map(tuple, waves)))


def ended(job: Job, *failed: str) -> list[Outcome]:
    return [Outcome("t", "t", t.partition, "failed" if t.partition in failed else "built") for t in job.targets]


def names(outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {outcome.partition: outcome.status for outcome in outcomes}


@st.composite
def plans(draw: st.DrawFn) -> Waves:
    """Jobs of each wave read some of earlier waves."""
    waves: list[list[list[int]]] = []
    count = 0
    for size in draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)):
        before = st.lists(st.integers(0, count - 1), max_size=3) if count else st.just([])
        waves.append([draw(before) for _ in range(size)])
        count += size
    return waves


@given(plans(), st.randoms(use_true_random=False))
def test_every_job_starts_once_and_as_soon_as_its_inputs_ended(waves, chance):
    needs = [reads for wave in waves for reads in wave]
    numbers = itertools.count()
    jobs = [[reader(next(numbers), reads) for reads in wave] for wave in waves]
    schedule = Schedule(plan(*jobs))
    line, flying, given_out, done = iter(schedule), {}, [], set()
    for found in line:
        if found:
            number = int(found.targets[0].partition)
            assert done.issuperset(needs[number])
            given_out.append(number)
            flying[number] = found
            continue
        waiting = set(range(len(needs))) - set(given_out)
        assert not any(done.issuperset(needs[number]) for number in waiting), "one that may start was held back"
        number = chance.choice(sorted(flying))  # something is always out: nobody waits for ever
        schedule.note(ended(flying.pop(number)))
        done.add(number)
    assert sorted(given_out) == list(range(len(needs)))


def test_one_by_one_they_come_in_the_order_of_the_plan():
    jobs = [[job("a"), job("b")], [job("c", needs={"c": [("a", "b")]}), job("d")], [job("e")]]
    schedule = Schedule(plan(*jobs))
    order = []
    for found in schedule:
        order += [t.partition for t in found.targets]
        schedule.note(ended(found))
    assert order == ["a", "b", "c", "d", "e"]


def test_a_job_of_the_next_wave_does_not_wait_for_what_it_does_not_read():
    slow, quick, follower = job("a"), job("b"), job("c", needs={"c": [("b", "b")]})
    schedule = Schedule(plan([slow, quick], [follower]))
    line = iter(schedule)
    assert [next(line), next(line), next(line)] == [slow, quick, None]
    schedule.note(ended(quick))
    assert next(line) == follower


def test_a_span_may_reach_over_what_its_own_wave_and_later_ones_build():
    first, second = job("a", "c"), job("b", needs={"b": [("a", "d")]})
    third = job("d", needs={"d": [("a", "c")]})
    schedule = Schedule(plan([first], [second], [third]))
    line = iter(schedule)
    for one in (first, second, third):
        assert next(line) == one
        schedule.note(ended(one))


def test_what_reads_a_failure_is_held_back_and_told_with_the_next_outcomes():
    first = job("a", "b")
    second = job("c", "d", needs={"c": [("a", "a")], "d": [("b", "b")]})
    third, fourth = job("e", needs={"e": [("c", "c")]}), job("f", needs={"f": [("d", "d")]})
    schedule = Schedule(plan([first], [second], [third, fourth]))
    line = iter(schedule)
    assert names(schedule.note(ended(next(line), "a"))) == {"a": "failed", "b": "built"}
    found = next(line)
    assert [t.partition for t in found.targets] == ["d"]
    told = schedule.note(ended(found))
    assert names(told) == {"c": "blocked", "d": "built"}
    assert told[1].error.values == {"table": "t", "partition": "a"}
    assert next(line) == fourth, "nothing is left of the third"
    assert names(schedule.note(ended(fourth))) == {"e": "blocked", "f": "built"}
    assert list(line) == []


def test_a_plan_without_jobs_has_none_to_give():
    assert list(Schedule(plan())) == []
