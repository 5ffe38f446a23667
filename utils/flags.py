"""One frozen dataclass is one group of flags: a field is a flag, its help is written once.

`parse_given` reads only what was typed, `build` makes a config from it, `parse` does both for small tools and
`to_argv` is the way back. Abbreviations are refused; an unknown flag is answered with the nearest name.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import logging
import re
import sys
import types
import typing
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from utils import outcome, signals
from utils.errors import UsageError

ConfigType = TypeVar("ConfigType")
TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off")


def parse(
    prog: str, description: str, *config_classes: type, argv: Sequence[str] | None = None, epilog: str = ""
) -> tuple[Any, ...]:
    """Read a command line into one instance per config class.

    Raises:
        UsageError: unknown or abbreviated flag, a value of the wrong type, or a config that refuses its values.
    """
    given = parse_given(prog, description, config_classes, argv=argv, epilog=epilog)
    return tuple(build(config_class, given) for config_class in config_classes)


def run_tool(
    prog: str,
    description: str,
    config_class: type[ConfigType],
    action: Callable[[ConfigType], Any],
    *,
    argv: Sequence[str] | None = None,
    epilog: str = "",
) -> int:
    """Run a tool with one group of flags and return its exit code; what is foreseen ends in a message, not a traceback.

    Args:
        prog: program name for the usage line.
        description: first lines of the help.
        config_class: its flags.
        action: does the work; a whole number it returns is the exit code.
        argv: words of the command line; those of the process when None.
        epilog: last lines of the help.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    signals.raise_at_once()
    return outcome.of(
        lambda: action(parse(prog, description, config_class, argv=argv, epilog=epilog)[0]),
        when_interrupted="nothing half-written was left",
    )


def parse_given(
    prog: str,
    description: str,
    config_classes: Sequence[type],
    *,
    argv: Sequence[str] | None = None,
    epilog: str = "",
    also_known: Iterable[type] = (),
    help_text: bool = True,
    defaults: Mapping[str, Any] | None = None,
    shown: Container[str] | None = None,
) -> dict[str, Any]:
    """Return name -> typed value of the flags that were typed, and of no others.

    Args:
        prog: program name for the usage line.
        description: first lines of the help.
        config_classes: groups shown in the help and read.
        argv: words of the command line; those of the process when None.
        epilog: last lines of the help.
        also_known: groups that are read but not shown, such as the flags of other models.
        help_text: False leaves `--help` to a second, better informed parser.
        defaults: those that the help shows in place of the fields' own.
        shown: flags of these groups that the help shows; all when None.

    Raises:
        UsageError: unknown or abbreviated flag, or a value of the wrong type.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _Parser(
        prog=prog,
        usage=f"python {prog} [--flag value ...]",
        description=description,
        epilog=epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=help_text,
    )
    known: set[str] = set()
    for config_class in config_classes:
        _add_group(parser, config_class, known, shown=shown, defaults=defaults or {})
    for config_class in also_known:
        _add_group(parser, config_class, known, shown=(), defaults={})
    if not help_text:
        words = [word for word in words if word not in ("-h", "--help")]
    namespace, unknown = parser.parse_known_args(words)
    if unknown:
        _refuse_unknown(unknown[0], known, prog)
    return vars(namespace)


def apart(words: Sequence[str], config_classes: Iterable[type]) -> tuple[list[str], list[str]]:
    """Return the words of a command line that belong to no flag, and all others.

    A flag takes what its type takes: a yes/no flag the word behind it only where that says yes or no, a list all words
    up to the next flag. A flag that is unknown takes none; whoever reads the others will refuse it.
    """
    hints = {
        field.name: _hint(config_class, field) for config_class in config_classes for field in _fields(config_class)
    }
    free: list[str] = []
    of_flags: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            free.append(word)
            continue
        of_flags.append(word)
        hint = None if "=" in word else _without_none(hints.get(word.removeprefix("--")))
        while hint is not None and left and _takes(hint, left[0]):
            of_flags.append(left.pop(0))
            hint = hint if typing.get_origin(hint) is tuple else None
    return free, of_flags


def build(config_class: type[ConfigType], values: Mapping[str, Any]) -> ConfigType:
    """Make a config from the values that are its fields; the rest keep their defaults."""
    names = {field.name for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    return config_class(**{name: value for name, value in values.items() if name in names})


def typed(config_classes: Iterable[type], values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Convert loosely typed values (a YAML file, a preset) as if they had been typed as flags.

    YAML reads `3e-05` as text, so every scalar goes through the flag's own converter.

    Raises:
        UsageError: a name that is no flag, or a value of the wrong type; the message names `source`.
    """
    fields = {field.name: (config_class, field) for config_class in config_classes for field in _fields(config_class)}
    result = {}
    for name, value in values.items():
        if name not in fields:
            raise UsageError(
                "CONFIG", f"{name!r} is not a flag.", where=source, next_command=_nearest(name, fields.keys())
            )
        config_class, field = fields[name]
        result[name] = _convert_loose(_hint(config_class, field), value, name, source)
    return result


def to_argv(*configs: Any) -> list[str]:
    """Return the command line that builds these configs again, defaults included."""
    words: list[str] = []
    seen: set[str] = set()
    for config in configs:
        for field in _fields(type(config)):
            value = getattr(config, field.name)
            if field.name in seen:
                continue
            seen.add(field.name)
            words.append(f"--{field.name}")
            items = value if isinstance(value, tuple) else (value,)
            words.extend("none" if item is None else str(item) for item in items or (None,))
    return words


def as_dict(*configs: Any) -> dict[str, Any]:
    """Return name -> value over all configs, tuples as lists, ready for JSON."""
    return {
        field.name: list(value) if isinstance(value := getattr(config, field.name), tuple) else value
        for config in configs
        for field in _fields(type(config))
    }


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with the defaults in it and room for long names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=110)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        flag = message.removeprefix("argument ").partition(":")[0]
        action = self._option_string_actions.get(flag)
        raise UsageError(
            "CONFIG",
            f"{message[0].upper()}{message[1:]}.",
            where=flag if action else "command line",
            next_command=_a_valid_choice(flag, action, message) or f"python {self.prog} --help",
        )


def _a_valid_choice(flag: str, action: argparse.Action | None, message: str) -> str:
    """Return a flag that takes one of few words with the word that was probably meant; empty for other flags."""
    choices = str(action.metavar).split("|") if action else []
    if len(choices) < 2:
        return ""
    refused = re.search("'(.*)'", message)
    close = difflib.get_close_matches(refused[1], choices, n=1) if refused else []
    return f"{flag} {(close or choices)[0]}"


def _fields(config_class: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(config_class)


@functools.cache
def _hints(config_class: type) -> dict[str, Any]:
    # Resolving the annotations of a class takes as long as all else of a flag, and there is one for each field.
    return typing.get_type_hints(config_class)


def _hint(config_class: type, field: dataclasses.Field[Any]) -> Any:
    return _hints(config_class)[field.name]


def _add_group(
    parser: argparse.ArgumentParser,
    config_class: type,
    known: set[str],
    *,
    shown: Container[str] | None,
    defaults: Mapping[str, Any],
) -> None:
    title = (config_class.__doc__ or config_class.__name__).strip().splitlines()[0].rstrip(".")
    is_shown = {field.name: shown is None or field.name in shown for field in _fields(config_class)}
    group = parser.add_argument_group(title if any(is_shown.values()) else None)
    for field in _fields(config_class):
        if field.name in known:
            continue
        known.add(field.name)
        options = _argument_options(_hint(config_class, field), field.name)
        if field.metadata.get("repeat"):
            options["action"] = _RepeatedTuple
        text = field.metadata.get("help", "")
        if is_shown[field.name] and not text:
            raise TypeError(f"{config_class.__name__}.{field.name} has no help text")
        options["help"] = (
            _help(text, defaults.get(field.name, field.default)) if is_shown[field.name] else argparse.SUPPRESS
        )
        group.add_argument(f"--{field.name}", default=argparse.SUPPRESS, **options)


def _help(text: str, default: Any) -> str:
    if default is None or default is False or default == () or default == "":
        shown = ""
    elif isinstance(default, tuple):
        shown = f" (default: {' '.join(map(str, default))})"
    else:
        shown = f" (default: {default})"
    return (text + shown).replace("%", "%%")


def _argument_options(hint: Any, name: str) -> dict[str, Any]:
    plain = _without_none(hint)
    if plain is bool:
        return {"nargs": "?", "const": True, "type": _converter(bool, name, optional=False), "metavar": "yes|no"}
    if typing.get_origin(plain) is tuple:
        return {
            "nargs": "+",
            "action": _CommaTuple,
            "element": typing.get_args(plain)[0],
            "empty": () if plain is hint else None,
            "metavar": "VALUE",
        }
    if typing.get_origin(plain) is typing.Literal:
        choices = typing.get_args(plain)
        return {
            "type": _literal_converter(choices, name, optional=plain is not hint),
            "metavar": "|".join(map(str, choices)),
        }
    return {
        "type": _converter(plain, name, optional=plain is not hint),
        "metavar": {"int": "N", "float": "X"}.get(plain.__name__, "TEXT"),
    }


class _CommaTuple(argparse.Action):
    """Reads `0.3,0.7` and `0.3 0.7` alike into a tuple."""

    def __init__(self, *args: Any, element: type, empty: tuple[()] | None, **kwargs: Any) -> None:
        self.element, self.empty = element, empty
        super().__init__(*args, **kwargs)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        words = [part for word in values for part in word.split(",") if part]
        if words == ["none"]:
            setattr(namespace, self.dest, self.empty)
            return
        convert = _converter(self.element, self.dest, optional=False)
        try:
            setattr(namespace, self.dest, tuple(convert(word) for word in words))
        except argparse.ArgumentTypeError as error:
            parser.error(f"argument {option_string}: {error}")


class _RepeatedTuple(_CommaTuple):
    """A flag that may be given several times; the values add up in the order they were typed."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        before = getattr(namespace, self.dest, ())
        super().__call__(parser, namespace, values, option_string)
        setattr(namespace, self.dest, before + (getattr(namespace, self.dest) or ()))


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        remaining = [part for part in typing.get_args(hint) if part is not type(None)]
        if len(remaining) == 1:
            return remaining[0]
    return hint


def _takes(hint: Any, word: str) -> bool:
    """Whether a flag of a type takes the word behind it, as far as the word alone tells."""
    if hint is bool:
        return word.lower() in (*TRUE_WORDS, *FALSE_WORDS)
    return typing.get_origin(hint) is not tuple or not word.startswith("-")


def _converter(kind: type, name: str, *, optional: bool) -> Callable[[str], Any]:
    def convert(word: str) -> Any:
        if optional and word.lower() == "none":
            return None
        if kind is bool:
            if word.lower() in TRUE_WORDS:
                return True
            if word.lower() in FALSE_WORDS:
                return False
            raise argparse.ArgumentTypeError(f"{word!r} is neither yes nor no")
        try:
            return kind(word)
        except ValueError:
            expected = {"int": "a whole number", "float": "a number"}.get(kind.__name__, kind.__name__)
            raise argparse.ArgumentTypeError(f"{word!r} is not {expected}") from None

    convert.__name__ = name
    return convert


def _literal_converter(choices: tuple[Any, ...], name: str, *, optional: bool) -> Callable[[str], Any]:
    def convert(word: str) -> Any:
        if optional and word.lower() == "none":
            return None
        for choice in choices:
            if str(choice) == word:
                return choice
        raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(map(str, choices))}")

    convert.__name__ = name
    return convert


def _convert_loose(hint: Any, value: Any, name: str, source: str) -> Any:
    plain = _without_none(hint)
    if value is None and plain is not hint:
        return None
    try:
        if typing.get_origin(plain) is tuple:
            items = value if isinstance(value, list | tuple) else str(value).replace(",", " ").split()
            element = _converter(typing.get_args(plain)[0], name, optional=False)
            return tuple(element(str(item)) for item in items)
        if typing.get_origin(plain) is typing.Literal:
            return _literal_converter(typing.get_args(plain), name, optional=False)(str(value))
        return _converter(plain, name, optional=False)(str(value))
    except argparse.ArgumentTypeError as error:
        raise UsageError("CONFIG", f"{name}: {error}.", where=source, next_command=f"correct {name}") from None


def _refuse_unknown(word: str, known: set[str], prog: str) -> NoReturn:
    if not word.startswith("-"):
        raise UsageError(
            "CONFIG",
            f"{word!r} stands where a flag was expected.",
            where="command line",
            next_command="give every value behind its flag, and write lists as A B or A,B",
        )
    name = word.lstrip("-").split("=")[0]
    raise UsageError(
        "CONFIG",
        f"There is no flag --{name}.",
        where="command line",
        next_command=_nearest(name.replace("-", "_"), known, prefix="--", prog=prog),
    )


def _nearest(name: str, known: Iterable[str], prefix: str = "", prog: str = "run.py") -> str:
    """Suggest the name that was probably meant: an abbreviation first, else the most similar one, else the help."""
    names = sorted(known)
    close = [other for other in names if other.startswith(name)][:3] or difflib.get_close_matches(name, names, n=2)
    if not close:
        return f"python {prog} --help"
    return "did you mean " + " or ".join(f"{prefix}{other}" for other in close) + "?"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a flat YAML file of flag names and values.

    Raises:
        UsageError: the file is missing, not YAML, or not a flat mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            "CONFIG",
            f"Cannot read {path}: {error.strerror}.",
            where="--config",
            next_command="give the path of a YAML file with lines like `seq_len: 720`",
        ) from None
    except yaml.YAMLError as error:
        raise UsageError(
            "CONFIG",
            f"{path} is not YAML.",
            where="--config",
            evidence=" ".join(str(error).split()),
            next_command="write one `flag: value` a line",
        ) from None
    if not isinstance(content, dict):
        raise UsageError(
            "CONFIG",
            f"{path} must hold lines like `seq_len: 720`.",
            where="--config",
            next_command="python run.py --help",
        )
    return content
