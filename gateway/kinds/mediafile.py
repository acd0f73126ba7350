"""Where a file that a caller names lies, as long as the media folder answers."""

import asyncio
from pathlib import Path
from typing import Final

from gateway.jobs.failures import Failure
from gateway.kinds.kind import Services
from gateway.kinds.names import file_below

LOOK_LIMIT: Final = 3.0  # seconds that a look at the media folder may take


async def media_file(name: str, field: str, missing: str, parts: Services) -> Path:
    """The path that `file_below` gives, found in the media folder's own threads.

    Raises `Failure` as `file_below` does, and `source-timeout` when the folder does not answer in time.
    """
    look = parts.files.library.on_media(file_below, parts.settings.media_dir, name, field, missing)
    try:
        return await asyncio.wait_for(look, LOOK_LIMIT)
    except TimeoutError:
        raise Failure("source-timeout", f"The media folder has not answered for {LOOK_LIMIT:g} s.") from None
