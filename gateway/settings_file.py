"""Looks at the lines of settings.env for what would be lost without a word."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from dotenv.parser import parse_stream


class SettingsFileError(Exception):
    """The file cannot be used; the text says why. It never holds a line, which may be a secret."""


def check(path: Path, names: Collection[str]) -> None:
    """Raises `SettingsFileError` for a file that cannot be read, or has a line that sets nothing, a name that is no
    setting, or one that is there twice. A file that is not there is none. `names` are those of the settings.
    """
    if path.is_fifo():
        return  # it can be read once only
    try:
        with path.open(encoding="utf-8") as file:
            lines = [line for line in parse_stream(file) if line.error or line.key is not None]
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsFileError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsFileError(f"{path} is not a text in UTF-8") from None
    counts = Counter(line.key.lower() for line in lines if line.key is not None)
    wrong = []
    for line in lines:
        name, at = (line.key or "").lower(), f"line {line.original.line + _blank(line.original.string)}"
        if line.error or line.value is None:
            wrong.append(f"{at} sets nothing: a line is NAME=VALUE, or begins with #")
        elif name not in names:
            wrong.append(f"{at}: there is no setting {name!r}")
        elif counts[name] > 1:
            wrong.append(f"{at}: {name} is set {counts[name]} times")
    if wrong:
        raise SettingsFileError(f"{path} has lines that cannot be:\n  " + "\n  ".join(wrong))


def _blank(text: str) -> int:
    """How many blank lines the parser has taken along with a statement that it could not read."""
    return text[: len(text) - len(text.lstrip())].count("\n")
