"""Which blocks a page has, and that no command hides in one that nobody runs."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import CODE, ROOT, SHELL, TYPED, blocks, pages, script

PAGE = """# A page

```sh
export X=1
echo $X
```

<!-- not run: needs AWS -->

```sh
ray up
```

* a list

  ```python
  x = 1
  ```

```console
$ raypipe tables
silver/daily
$ raypipe plan
```

```
{root}/bronze
```
"""


def test_blocks_are_found_with_their_marks():
    found = blocks("page.md", PAGE)
    assert [(block.language, block.line, block.reason) for block in found] == [
        ("sh", 3, ""),
        ("sh", 10, "needs AWS"),
        ("python", 16, ""),
        ("console", 20, ""),
        ("", 26, ""),
    ]


def test_a_script_has_what_is_typed_and_nothing_else():
    text = script(block for block in blocks("page.md", PAGE) if block.language in {*SHELL, *CODE} and not block.reason)
    assert "export X=1\necho $X\n" in text
    assert "python - <<'END_OF_BLOCK'\n" in text
    assert "raypipe tables\nraypipe plan\n" in text
    assert "ray up" not in text
    assert "silver/daily" not in text


@pytest.mark.parametrize("page", pages())
def test_commands_stand_in_blocks_that_are_run(page):
    for block in blocks(page):
        if block.language not in SHELL:
            assert not TYPED.search(block.text), f"{page}:{block.line}: call it sh, and it is run"
        assert block.language in {"", "json", "yaml", "pycon", *SHELL, *CODE}, f"{page}:{block.line}"


@pytest.mark.parametrize("page", pages())
def test_every_mark_belongs_to_a_block(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(re.findall("<!-- not run:", text)) == sum(bool(block.reason) for block in blocks(page))
