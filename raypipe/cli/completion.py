"""``raypipe completion``: a script for a shell, made once from the commands; completing reads no data."""

from __future__ import annotations

import click

from raypipe.cli.app import App
from raypipe.cli.options import command

__all__ = ["completion"]

_BASH = """\
# raypipe completion for bash; load it with: source <(raypipe completion bash)
_raypipe() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" name="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${{COMP_WORDS[i]}}" in {patterns}) name="${{COMP_WORDS[i]}}"; break;; esac
    done
    case "$name $previous" in
{choices}
    esac
    case "$name" in
{options}
    esac
    COMPREPLY=($(compgen -o default -W "{words}" -- "$word"))
}}
complete -o default -F _raypipe raypipe
"""
_ZSH = """\
#compdef raypipe
# raypipe completion for zsh; load it with: source <(raypipe completion zsh)
autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
"""


@command(
    "completion",
    "Print a completion script: source <(raypipe completion bash).",
    click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"])),
)
def completion(app: App, shell: str) -> int:  # noqa: ARG001 - every command gets the App
    """Print the script."""
    text = _fish() if shell == "fish" else _bash()
    click.echo(_ZSH + text if shell == "zsh" else text, nl=False)
    return 0


def _commands() -> dict[str, click.Command]:
    from raypipe.cli.main import cli

    context = click.Context(cli)
    return {name: each for name in cli.list_commands(context) if (each := cli.get_command(context, name))}


def _options(command_: click.Command) -> list[click.Option]:
    return [param for param in command_.params if isinstance(param, click.Option)]


def _long(command_: click.Command) -> list[str]:
    return [word for option in _options(command_) for word in option.opts if word.startswith("--")]


def _choices(param: click.Parameter) -> list[str]:
    return list(param.type.choices) if isinstance(param.type, click.Choice) else []


def _arguments(command_: click.Command) -> list[str]:
    return [choice for param in command_.params if isinstance(param, click.Argument) for choice in _choices(param)]


# --- bash and zsh ------------------------------------------------------------------------------


def _bash() -> str:
    from raypipe.cli.main import cli

    commands = _commands()
    return _BASH.format(
        patterns="|".join(commands),
        choices="\n".join(line for name, each in commands.items() for line in _choice_cases(name, each)),
        options="\n".join(_case(name, [*_arguments(each), *_long(each), "--help"]) for name, each in commands.items()),
        words=" ".join([*commands, *_long(cli)]),
    )


def _choice_cases(name: str, command_: click.Command) -> list[str]:
    limited = [(option, _choices(option)) for option in _options(command_)]
    return [_case("|".join(f'"{name} {word}"' for word in o.opts), words) for o, words in limited if words]


def _case(pattern: str, words: list[str]) -> str:
    return f'        {pattern}) COMPREPLY=($(compgen -o default -W "{" ".join(words)}" -- "$word")); return;;'


# --- fish --------------------------------------------------------------------------------------


def _fish() -> str:
    from raypipe.cli.main import COMMANDS

    texts = {name: text for section in COMMANDS.values() for name, (_, text) in section.items()}
    lines = ["# raypipe completion for fish; load it with: raypipe completion fish | source", "complete -c raypipe -f"]
    for name, each in _commands().items():
        lines.append(f"complete -c raypipe -n __fish_use_subcommand -a {name} -d {_quoted(texts[name])}")
        head = f"complete -c raypipe -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{head} -a {word}" for word in _arguments(each)]
        lines += [f"{head} {_fish_option(option)}" for option in _options(each)]
    return "\n".join(lines) + "\n"


def _fish_option(option: click.Option) -> str:
    names = " ".join(f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in option.opts)
    return f"{names}{_fish_value(option)} -d {_quoted(option.help or '')}"


def _fish_value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    return f" -r -a {_quoted(' '.join(_choices(option)))}" if _choices(option) else " -r -F"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
