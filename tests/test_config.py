"""Configuration: who wins, what is refused, and what hostile files can do (nothing)."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

import raypipe.config
from raypipe.config import load_config, section_types
from raypipe.config_text import MAX_BYTES, read_config_file, read_value
from raypipe.errors import ConfigError
from raypipe.schema.family import Params

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path):
    """An empty current folder, and a home without files."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def load(folder, tmp_path):
    """Load with exactly this environment and these files."""

    def load_(text: str | None = None, *, user: str | None = None, name="raypipe.yaml", env=None, **given):
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
        if user is not None:
            path = tmp_path / "home" / "raypipe" / "config.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(user, encoding="utf-8")
        env = {"XDG_CONFIG_HOME": str(tmp_path / "home"), **(env or {})}
        return load_config(env=env, folder=folder, **given)

    return load_


# --- precedence ----------------------------------------------------------------------------------

#: Every source of a value, lowest precedence first: how it is given, and what its origin says.
LAYERS = [
    ("user", {"user": "run: {workers: 1}"}, "user file"),
    ("project", {"text": "run: {workers: 2}"}, "project file"),
    ("environment", {"env": {"RAYPIPE_RUN__WORKERS": "3"}}, "environment RAYPIPE_RUN__WORKERS"),
    ("set", {"sets": ["run.workers=4"]}, "flag --set run.workers"),
    ("flag", {"flags": {"run.workers": 5}}, "flag"),
]


@pytest.mark.parametrize("top", range(len(LAYERS)), ids=[name for name, *_ in LAYERS])
def test_the_nearest_source_wins_and_is_named(load, top):
    config = load(**{key: value for _, given, _ in LAYERS[: top + 1] for key, value in given.items()})
    assert config.run.workers == top + 1
    assert config.origin["run.workers"].startswith(LAYERS[top][2])


def test_sources_add_up_key_by_key(load):
    config = load(
        "run: {workers: 2}\nlake: {root: /a}", user="run: {dq: fail, workers: 9}", flags={"run.workers": None}
    )
    assert (config.run.workers, config.run.dq, config.lake.root) == (2, "fail", "/a")
    assert config.origin["run.dq"].startswith("user file")
    assert config.origin["run.executor"] == "default"


def test_a_named_file_stands_in_for_the_one_of_the_folder(load, folder, tmp_path):
    (folder / "raypipe.yaml").write_text("run: {workers: 2}", encoding="utf-8")
    other = tmp_path / "other.toml"
    other.write_text("[run]\nworkers = 7\n", encoding="utf-8")
    assert load_config(other, env={}, folder=folder).run.workers == 7
    assert load_config(env={"RAYPIPE_CONFIG": str(other)}, folder=folder).run.workers == 7


def test_two_project_files_are_refused(load, folder):
    (folder / "raypipe.toml").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"both raypipe\.yaml and raypipe\.toml"):
        load("run: {workers: 2}")


def test_a_profile_goes_before_the_project_file_and_after_the_environment(load, folder):
    (folder / "configs").mkdir()
    (folder / "configs" / "night.yaml").write_text("run: {workers: 5, dq: fail, steps: [daily]}", encoding="utf-8")
    config = load(
        "run: {workers: 2, executor: serial}",
        profile="night",
        env={"RAYPIPE_RUN__DQ": "off"},
    )
    assert (config.run.workers, config.run.executor, config.run.dq) == (5, "serial", "off")
    assert config.run.steps == ("daily",)
    assert config.origin["run.workers"].startswith("profile ")


@pytest.mark.parametrize("name", ["nowhere", "../night", "a/b", ".hidden"])
def test_a_profile_that_is_not_there_names_those_that_are(folder, name):
    (folder / "configs").mkdir()
    (folder / "configs" / "night.yaml").write_text("", encoding="utf-8")
    (folder / "night.yaml").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"there is no profile.*night"):
        load_config(env={}, folder=folder, profile=name)


@pytest.mark.parametrize("name", ["equities", "spy_0dte", "tune_46", "demo"])
def test_shipped_profiles_change_something_and_nothing_else_is_asked_of_them(name):
    config = load_config(env={}, folder=ROOT, profile=name)
    assert any(origin.startswith("profile") for origin in config.origin.values())
    assert config.run.steps


def test_a_missing_named_file_is_an_error(folder):
    with pytest.raises(ConfigError, match=r"nowhere.*cannot be read"):
        load_config(folder / "nowhere.yaml", env={}, folder=folder)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("RAYPIPE_ROOT", "lake.root", "/lake"),
        ("RAYPIPE_ENDPOINT_URL", "lake.endpoint_url", "http://127.0.0.1:9"),
        ("RAYPIPE_PROFILE", "lake.profile", "me"),
        ("RAY_ADDRESS", "run.address", "127.0.0.1:6379"),
    ],
)
def test_short_variables(load, name, key, value):
    config = load(env={name: value})
    section, _, field = key.partition(".")
    assert getattr(config.sections[section], field) == value
    assert config.origin[key] == f"environment {name}"


def test_the_long_variable_wins_over_the_short_one(load):
    config = load(env={"RAY_ADDRESS": "there:1", "RAYPIPE_RUN__ADDRESS": "here:1", "RAYPIPE_LAKE__ROOT": "/b"})
    assert (config.run.address, config.lake.root) == ("here:1", "/b")


def test_every_variable_that_the_code_reads_is_known():
    pattern = re.compile(r"[\"'`]RAYPIPE_[A-Z_]+")
    sources = [path for top in ("raypipe", "tasks") for path in (ROOT / top).rglob("*.py")]
    named = {found.lstrip("\"'`") for path in sources for found in pattern.findall(path.read_text(encoding="utf-8"))}
    assert {name for name in named if "__" not in name} - {"RAYPIPE_"} <= {
        *raypipe.config.ALIASES,
        *raypipe.config.OTHER_VARIABLES,
    }


def test_a_variable_that_nothing_reads_is_told(load):
    assert load(env={"RAYPIPE_WORKERS": "2"}).warnings == (
        "nothing reads the environment variable RAYPIPE_WORKERS; did you mean RAYPIPE_RUN__WORKERS?",
    )
    assert load(env={"RAYPIPE_CONFIG": "", "RAYPIPE_FAULT": "", "RAYPIPE_SHARED_DATA": "x"}).warnings == ()


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "run: {worker: 2}"}, r"raypipe.yaml: there is no key 'run.worker' \(did you mean run.workers\?\)"),
        ({"text": "rnu: {workers: 2}"}, r"there is no section 'rnu' \(did you mean run\?\)"),
        ({"text": "workers: 2"}, r"there is no section 'workers' \(did you mean run.workers\?\)"),
        ({"sets": ["run.workerz=2"]}, r"flag --set run.workerz: .*did you mean run.workers"),
        ({"env": {"RAYPIPE_RUN__WORKRES": "2"}}, r"environment RAYPIPE_RUN__WORKRES: .*did you mean run.workers"),
        ({"text": "run: {workers: many}"}, r"key run.workers, file .*raypipe.yaml: input should be .*not 'many'"),
        ({"text": "run: {workers: 0}"}, r"key run.workers.*greater than or equal to 1, not '0'"),
        ({"text": "run: {executor: Ray}"}, r"key run.executor.*'auto', 'serial', 'process' or 'ray', not 'Ray'"),
        ({"text": "run: 5"}, r"run is a section, not a value"),
        ({"text": "- run"}, r"does not hold sections"),
        ({"sets": ["workers=2"]}, r"'workers' is not section.key=value"),
        ({"sets": ["run.workers"]}, r"'run.workers' is not section.key=value"),
        ({"env": {"RAYPIPE_RUN__WORKERS": "x"}}, r"key run.workers, source environment RAYPIPE_RUN__WORKERS"),
        ({"text": "ingest: {poll_seconds: .inf}"}, r"ingest.poll_seconds"),
        ({"text": "ingest: {poll_seconds: nan}"}, r"ingest.poll_seconds"),
    ],
)
def test_mistakes_are_refused_with_their_place(load, given, message):
    with pytest.raises(ConfigError, match=message):
        load(**given)


def test_an_empty_file_or_section_is_fine(load):
    assert load("").run.workers is None
    assert load("run:\nlake:\n").run.workers is None


def test_text_for_nothing_is_none_only_where_there_may_be_none(load):
    config = load("run: {workers: null, address: ~}\nlake: {profile: ''}\nsymbols: {keep_types: [null, CS]}")
    assert (config.run.workers, config.run.address, config.lake.profile) == (None, None, None)
    assert config.params["symbols"].keep_types == ("null", "CS")


# --- YAML ------------------------------------------------------------------------------------------


def _file(tmp_path, text: str | bytes, name="c.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


BILLION = "a: &a [x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system ['touch hacked']", "line 1: the tag .* is not allowed"),
        ("!!map {a: 1}", "the tag .* is not allowed"),
        ("a: ! x", "the tag .* is not allowed"),
        (BILLION, "line 1: anchors and aliases are not allowed"),
        ("a: &x 1\nb: 2", "anchors and aliases"),
        ("run:\n  workers: 1\n  workers: 2", "line 3: the key 'workers' stands here twice"),
        ("run: {}\nrun: {}", "line 2: the key 'run' stands here twice"),
        ("? [a]\n: b", "line 1: a key must be a word"),
        ("a: {{b: 1}: 2}", "a key must be a word"),
        ("a:\n\t- b", "line 2: found character"),
        ("a: [1", "line"),
        ("--- a\n--- b", "another document"),
        ("[" * 5_000, "nested deeper than"),
        ("{a: " * 5_000, "nested deeper than"),
        (b"a: \xff", "not UTF-8 text .byte 3."),
        (b"a: \x00", "not valid YAML: unacceptable character"),
        ("x" * (MAX_BYTES + 1), "larger than 1 MiB"),
        ("x" * (10 << 20), "larger than 1 MiB"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        read_config_file(_file(tmp_path, text))
    assert not (tmp_path / "hacked").exists()


def test_hostile_toml_is_refused(tmp_path):
    for text in ("a = 1\na = 2", "a = " + "[" * 100_000, "x"):
        with pytest.raises(ConfigError, match="not valid TOML"):
            read_config_file(_file(tmp_path, text, "c.toml"))
    with pytest.raises(ConfigError, match="larger"):
        read_config_file(_file(tmp_path, "x" * (MAX_BYTES + 1), "c.toml"))


def test_the_largest_file_allowed_is_read(tmp_path):
    line = "# a comment of a configuration that is as large as it may be\n"
    assert read_config_file(_file(tmp_path, "run: {}\n" + line * (MAX_BYTES // len(line) - 1))) == {"run": {}}


def test_words_stay_words(load):
    """Where plain YAML makes true, 960 and text of them."""
    words = ("ON", "NO", "TRUE", "Null", "1", "1e-3", "16:00", "2025-01-02", "0x10", "010")
    config = load(f"symbols: {{keep_types: [{', '.join(words)}]}}\nday_aggs: {{max_share: 1e-3}}")
    assert config.params["symbols"].keep_types == words
    assert config.params["day_aggs"].max_share == 1e-3


def test_toml_says_the_same(load):
    config = load('[symbols]\nkeep_types = ["ON", "NO"]\n[run]\nallow_holes = true\n', name="raypipe.toml")
    assert config.params["symbols"].keep_types == ("ON", "NO")
    assert config.run.allow_holes is True


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40))
def test_any_text_given_as_a_value_stays_itself(text):
    if text.lstrip()[:1] not in {"[", "{"}:
        assert read_value(text, "flag") == text


def test_lists_can_be_given_on_the_command_line(load):
    assert load(sets=["symbols.keep_types=[CS, ON]"]).params["symbols"].keep_types == ("CS", "ON")
    assert load(env={"RAYPIPE_SYMBOLS__KEEP_TYPES": "[CS]"}).params["symbols"].keep_types == ("CS",)


# --- defaults --------------------------------------------------------------------------------------


def test_the_shipped_file_holds_every_default(folder):
    shipped = load_config(ROOT / "configs" / "default.yaml", env={}, folder=folder)
    plain = load_config(env={}, folder=folder)
    assert shipped.sections == plain.sections
    assert set(shipped.origin) == set(plain.origin)
    assert not [key for key, origin in shipped.origin.items() if not origin.startswith("project file")]


def test_every_stage_has_its_section(folder):
    from raypipe.pipeline.stages import stages
    from raypipe.schema.modeling import SECTIONS

    config = load_config(env={}, folder=folder)
    kinds = {stage.name: stage.params for stage in stages()} | SECTIONS
    own = {name: params.model_dump(exclude=set(params.sections())) for name, params in config.params.items()}
    assert own == {name: kind().model_dump(exclude=set(kind.sections())) for name, kind in kinds.items()}


def test_a_shared_section_is_set_in_one_place(load):
    config = load("macd: {fast: 10}")
    sharing = [params for name, params in config.params.items() if name != "macd" and "macd" in params.sections()]
    assert sharing
    assert all(params.macd == config.params["macd"] for params in sharing)
    assert all("macd" not in section for section in config.masked().values())
    (name, *_) = [name for name, params in config.params.items() if "macd" in params.sections()]
    with pytest.raises(ConfigError, match="there is no key"):
        load(f"{name}: {{macd: {{fast: 3}}}}")


# --- sections with secrets and sections in sections --------------------------------------------------


class _Inner(BaseModel):
    token: SecretStr | None = None
    depth: int = 1


class _Outer(Params):
    inner: _Inner = _Inner()
    many: tuple[_Inner, ...] = ()
    when: Annotated[dt.date | None, Field(description="A date.")] = None


@pytest.fixture
def nested(monkeypatch, load):
    """The configuration with one more section, which holds a section with a secret."""
    types = {**section_types(), "outer": _Outer}
    monkeypatch.setattr(raypipe.config, "section_types", lambda: types)
    return load


def test_sections_in_sections(nested):
    config = nested("outer: {inner: {depth: 2}, when: 2025-01-02, many: [{depth: 3, token: null}]}")
    outer = config.params["outer"]
    assert (outer.inner.depth, outer.when, outer.many[0].depth, outer.many[0].token) == (
        2,
        dt.date(2025, 1, 2),
        3,
        None,
    )
    assert config.origin["outer.inner.depth"].startswith("project file")
    assert config.origin["outer.inner.token"] == "default"


def test_secrets_are_masked_and_never_taken_from_flags(nested):
    env = {"RAYPIPE_OUTER__INNER__TOKEN": "canary-of-the-environment"}
    config = nested(env=env)
    assert config.params["outer"].inner.token.get_secret_value() == "canary-of-the-environment"
    assert "canary" not in repr(config)
    assert config.masked()["outer"]["inner"]["token"] == "**********"
    with pytest.raises(ConfigError, match="a secret is never given as a flag"):
        nested(sets=["outer.inner.token=canary"])


def test_a_wrong_secret_is_not_repeated(nested):
    with pytest.raises(ConfigError) as caught:
        nested("outer: {inner: {token: [canary]}}")
    assert "canary" not in str(caught.value)
    assert caught.value.values["key"] == "outer.inner.token"


def test_addresses_with_passwords_are_masked(load):
    assert "hunter22" not in str(load("ingest: {endpoint_url: 'https://me:hunter22@host'}").masked())
