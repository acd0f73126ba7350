"""The import contracts can fail: for each of them a copy of the tree has one import that it forbids."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

# Contract -> (module, the import that must break it).
FORBIDDEN: Final = {
    "media never imports gateway": ("media/chunk.py", "import gateway.settings"),
    "gateway layers: main, app, web, kinds, auth, jobs": ("gateway/kinds/names.py", "import gateway.web.body"),
    "jobs know neither HTTP nor media": ("gateway/jobs/pool.py", "import aiohttp"),
    "kinds know no HTTP": ("gateway/kinds/names.py", "import aiohttp.web"),
    "the gateway process never imports av": ("gateway/logs.py", "import media.codecs.libav"),
    "the domains of media do not import one another": ("media/watch/hls.py", "import media.camera.attempt"),
    "outside of workers, a domain of media never imports av": ("media/pictures/stills.py", "import av"),
    "workers know no asyncio": ("media/camera/worker/opening.py", "import asyncio"),
    "what every domain stands on knows none of them": ("media/net/hosts.py", "import media.camera.spec"),
    "kinds do not know one another, and what they share knows no kind": (
        "gateway/kinds/snapshot.py", "import gateway.kinds.rtsp",
    ),
}  # fmt: skip


def contracts() -> list[str]:
    """The names of all contracts, in their order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract["name"] for contract in project["tool"]["importlinter"]["contracts"]]


def test_each_import_contract_is_broken_by_an_import_that_it_forbids(tmp_path: Path) -> None:
    assert list(FORBIDDEN) == contracts()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in ("gateway", "media"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, line in FORBIDDEN.values():
        path = tmp_path / module
        assert path.exists(), module
        path.write_text(f"{path.read_text()}\n{line}\n")
    linted = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "COLUMNS": "200"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.*\))?$", linted.stdout, re.MULTILINE))
    assert verdicts == dict.fromkeys(FORBIDDEN, "BROKEN"), linted.stdout + linted.stderr
