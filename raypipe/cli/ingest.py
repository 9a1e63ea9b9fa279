"""``raypipe ingest``: the vendor's files into the lake, then what follows from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from raypipe.cli.acquire import FileWatch, counted
from raypipe.cli.app import App
from raypipe.cli.interrupts import INTERRUPTED, graceful
from raypipe.cli.options import PATH, command, range_options
from raypipe.cli.present import bytes_text, span, table
from raypipe.errors import UsageError

if TYPE_CHECKING:
    from raypipe.acquisition.acquire import IngestReport, ObjectState
    from raypipe.config import Config
    from raypipe.pipeline.intake import Intake

__all__ = ["ingest"]

#: States that are no news.
_QUIET = frozenset({"current", "not_yet", "not_session"})
_NOT_YET, _UNAVAILABLE = 4, 5


@command(
    "ingest",
    "Fetch the vendor's flat files into the lake, exactly as they are, then build what follows from them.",
    click.Option(
        ["--year"],
        type=click.IntRange(1990, 2100),
        metavar="YEAR",
        help="That year; the current one if no range is given.",
    ),
    *range_options("files"),
    click.Option(["--skip-daily"], is_flag=True, help="No day bars."),
    click.Option(["--skip-minute"], is_flag=True, help="No minute bars."),
    click.Option(
        ["--from-dir"],
        type=PATH,
        metavar="DIR",
        help="Adopt files on disk instead of asking an endpoint: flat files, Databento, OPRA; daily bars if so set.",
    ),
    click.Option(["--reference"], type=PATH, metavar="FILE", help="List of symbols and their types, to be kept."),
    click.Option(["--splits"], type=PATH, metavar="FILE", help="List of share splits, to be kept."),
    click.Option(["--endpoint-url"], metavar="URL", help="The S3 endpoint (ingest.endpoint_url)."),
    click.Option(["--bucket"], metavar="NAME", help="Its bucket (ingest.bucket)."),
    click.Option(["--aws-profile"], metavar="NAME", help="Profile used if no key pair is in the environment."),
    click.Option(["--jobs"], type=click.IntRange(1, 64), metavar="N", help="Files at a time (ingest.jobs)."),
    click.Option(
        ["--wait", "wait_minutes"],
        type=click.FloatRange(0),
        default=0,
        metavar="MINUTES",
        help="Wait for files that are late.",
    ),
    click.Option(["--verify"], is_flag=True, help="Read and hash every stored file, whatever its receipt says."),
    click.Option(["--no-process"], is_flag=True, help="Only fetch; do not build."),
    click.Option(["--force-process"], is_flag=True, help="Build the range anew, even what is current."),
    click.Option(["--dry-run"], is_flag=True, help="Only say what would be done with each file."),
)
def ingest(app: App, dry_run: bool, no_process: bool, force_process: bool, **options: Any) -> int:
    """Acquire files, then run."""
    names = ("endpoint_url", "bucket", "aws_profile", "jobs")
    config = app.config(**{f"ingest__{name}": options.pop(name) for name in names})
    if config.ingest.provider == "files":
        options["dry_run"] = dry_run
        return _ingest_daily(app, config, options, build=not (dry_run or no_process), force=force_process)
    from raypipe.pipeline.intake import PRESENT, Intake, plan_acquire

    skipped = {"day": options.pop("skip_daily"), "minute": options.pop("skip_minute")}
    datasets = tuple(name for name, skip in skipped.items() if not skip)
    intake = Intake.settle(options.pop("year"), dt.datetime.now(dt.UTC).date(), **options, datasets=datasets)
    report = plan_acquire(config, intake) if dry_run else _acquire(app, config, intake)
    code = INTERRUPTED if report.interrupted else _exit_code(report)
    document, lines = {**report.to_dict(), "exit_code": code}, _lines(report, dry_run=dry_run)
    stays = dry_run or no_process or code in (INTERRUPTED, _UNAVAILABLE)
    if stays or not any(each.state in PRESENT for each in report.objects):
        app.show({"ingest": document, "run": None}, lines)
        return code
    return _then_run(app, config, intake, (document, lines), force=force_process) or code


def _ingest_daily(app: App, config: Config, options: dict[str, Any], *, build: bool, force: bool) -> int:
    """Daily bars from files: ingest.provider is ``files``."""
    from raypipe.pipeline.intake import Intake, keep_daily

    if options["from_dir"] is None:
        msg = "ingest.provider is files, and no file is named"
        raise UsageError(msg, hint="name a file or a folder with --from-dir")
    kept = keep_daily(config, options["from_dir"], dry_run=options["dry_run"])
    rows = [(each.key, each.state, each.symbols, bytes_text(each.bytes)) for each in kept]
    shown = {"files": [asdict(each) for each in kept]}, table(("file", "state", "symbols", "size"), rows)
    if not build:
        app.show({"ingest": shown[0], "run": None}, shown[1])
        return 0
    return _then_run(app, config, Intake(), shown, force=force)


def _acquire(app: App, config: Config, intake: Intake) -> IngestReport:
    from raypipe.pipeline.intake import acquire

    where = intake.from_dir or f"{config.ingest.endpoint_url}/{config.ingest.bucket}"
    app.notes.info(f"ingesting from {where} into {config.lake.location.root}")
    with graceful("the same command goes on where it stopped") as stop:
        return acquire(config, intake, progress=FileWatch(app), stop=stop)


def _exit_code(report: IngestReport) -> int:
    """As the report says; files that were waited for and did not come are "not there yet", not a failure."""
    if report.exit_code == 1 and not any(each.state in {"failed", "forbidden"} for each in report.objects):
        return _NOT_YET
    return report.exit_code


def _lines(report: IngestReport, *, dry_run: bool) -> list[str]:
    rows = []
    for (name, state, reason), sessions in _groups(report.objects):
        rows.append((name, state.replace("_", " "), span(sessions), reason))
    size = bytes_text(sum(each.bytes for each in report.fetched))
    files = f"{len(report.fetched)} file{'' if len(report.fetched) == 1 else 's'}"
    did = "would be fetched" if dry_run else "fetched"
    last = f"{counted(report.counts)}; {files} {did}, {size}"
    return [*(table(("data", "state", "sessions", "why"), rows) if rows else []), *([""] if rows else []), last]


def _groups(objects: Sequence[ObjectState]) -> list[tuple[tuple[str, str, str], list[str]]]:
    """Neighbouring sessions of one data set with the same state and reason, together."""
    groups: list[tuple[tuple[str, str, str], list[str]]] = []
    for each in objects:
        reason = "" if each.state in _QUIET and each.state != "not_session" else each.reason
        key = (each.dataset.name, each.state, reason)
        if groups and groups[-1][0] == key:
            groups[-1][1].append(each.session.isoformat())
        else:
            groups.append((key, [each.session.isoformat()]))
    return groups


def _then_run(app: App, config: Config, intake: Intake, shown: tuple[dict[str, Any], list[str]], *, force: bool) -> int:
    """Build what follows from the files."""
    from raypipe.cli.run import carry_out
    from raypipe.cli.show_run import run_document, run_lines
    from raypipe.pipeline.session import Wish, plan_wish

    record = carry_out(app, config, plan_wish(config, Wish(intake.start, intake.end, force=force)))
    document, lines = shown
    app.show({"ingest": document, "run": run_document(config, record)}, [*lines, "", *run_lines(config, record)])
    return record.exit_code or 0
