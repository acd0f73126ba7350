"""What of the environment a process gets that the gateway starts: what it needs, and no secret of the gateway's."""

import os
from collections.abc import Mapping
from typing import Final

# Names that programs look at and that hold no secret. Everything else, such as WEBHOOK_SECRET, stays where it is.
PASSED: Final = frozenset(
    {"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
PREFIXES: Final = ("LC_", "LD_", "PYTHON", "MALLOC_", "GLIBC_")  # of the linker, of python, of the C library


def clean(environment: Mapping[str, str] = os.environ, **more: str) -> dict[str, str]:
    """The environment for a process: those of our variables that any process may have, and `more`."""
    passed = {name: value for name, value in environment.items() if name in PASSED or name.startswith(PREFIXES)}
    return {**passed, **more}
