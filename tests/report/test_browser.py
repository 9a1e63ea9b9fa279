"""Pages in a browser, headless: nothing runs, nothing is asked for, nothing is said on the console."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from raypipe.report.compare import render_comparison
from raypipe.report.ops import render_run
from tests.report.samples import surroundings, whole_record, with_text
from tests.report.test_compare import found
from tests.report.test_ops import GRID, HOSTILE, hostile_page
from tests.report.test_sweep import hostile_search

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")]

PAGES = {
    "run": lambda: render_run(whole_record(), GRID, surroundings()),
    "comparison": lambda: render_comparison(found()),
    "hostile run": hostile_page,
    "hostile search": hostile_search,
    "hostile comparison": lambda: render_comparison(with_text(found(), HOSTILE)),
}
#: Marks the page if any of its text is run.
CANARY = "document.title='CAUGHT'"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_quiet(page: str, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(PAGES[page]().replace("alert(1)", CANARY).replace("alert(2)", CANARY), "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    command = [str(BROWSER), *flags, f"--user-data-dir={tmp_path}/profile", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    assert any(f"<h2>{section}</h2>" in done.stdout for section in ("Sessions", "Partitions", "Gates"))
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout, re.DOTALL)[:1]
    assert title.startswith(("raypipe run", "raypipe sweep"))
    assert "<script" not in done.stdout
