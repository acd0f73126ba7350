"""Pictures of a stream over HTTP: the newest key frame as a JPEG, and one after the other as motion JPEG."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from typing import Final

from aiohttp import hdrs, web

from gateway.jobs.failures import Failure
from gateway.kinds.kind import as_failure
from gateway.web.access.principal import viewer
from gateway.web.watch.mse import ViewerLimits, arrival, is_gone
from media.faults import Fault
from media.pictures.stills import Stills
from media.ring import Ring

BOUNDARY: Final = "reelgate-picture"
WIDTHS: Final = (16, 3840)  # pixels
# The widths that pictures are made in: few, so that one viewer's picture is as a rule another's, too.
LADDER: Final = (16, 80, 160, 240, 320, 480, 640, 800, 960, 1280, 1920, 2560, 3840)
STALE: Final = 10  # seconds after which a picture is said to be old (Age is given in any case)
PACE: Final = 0.5  # seconds between two pictures of a motion JPEG at the least


def width(request: web.Request) -> int | None:
    """The widest of `LADDER` that is not wider than what is asked for. Failure: `invalid-field`."""
    asked = request.query.get("width")
    if asked is None:
        return None
    if not (asked.isascii() and asked.isdigit() and len(asked) < 5 and WIDTHS[0] <= int(asked) <= WIDTHS[1]):
        detail = f"The width must be a number of pixels from {WIDTHS[0]} to {WIDTHS[1]}."
        raise Failure("invalid-field", detail, errors=[{"field": "width", "detail": detail}])
    return max(step for step in LADDER if step <= int(asked))


async def glance(request: web.Request, stills: Stills, ring: Ring | None, width: int | None) -> web.Response:
    """The newest key frame for who looks in passing. For them it is no error if there is none: the answer is 204."""
    if ring is not None and ring.newest_key() is not None:
        with suppress(Failure):
            return await jpeg(request, stills, ring, width)
    return web.Response(status=204, headers={hdrs.CACHE_CONTROL: "no-store"})


async def jpeg(request: web.Request, stills: Stills, ring: Ring, width: int | None = None) -> web.Response:
    """The newest key frame, with `Age` and `Last-Modified`; 304 for a client that has it already."""
    with as_failure():
        still = await stills.take(ring, width=width, viewer=viewer(request))
    age = stills.age(still)
    headers = {
        "Age": str(int(age)),
        "Cache-Control": "no-cache",
        "ETag": f'"{round(still.taken_at * 1000)}"',
        "Last-Modified": formatdate(still.taken_at, usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }
    if age >= STALE:
        headers["Warning"] = '110 - "Response is Stale"'  # RFC 7234, section 5.5.1
    if headers["ETag"] in request.headers.get(hdrs.IF_NONE_MATCH, ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=still.data, content_type="image/jpeg", headers=headers)


async def motion(
    request: web.Request, stills: Stills, ring: Ring, is_current: Callable[[], bool], limits: ViewerLimits
) -> web.StreamResponse:
    """Each new key frame as a part of a `multipart/x-mixed-replace`, and the last one again when none comes for long.

    A slow client gets only the newest one. Each picture is sent twice: browsers show one when the head of the next one
    has come, and would be a key frame late.
    """
    with as_failure():
        still = await stills.take(ring, viewer=viewer(request))
    headers = {"Cache-Control": "no-store", "Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    transport, shown, loop = request.transport, ring.newest_key(), asyncio.get_running_loop()
    try:
        while is_current():
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(still.data)}\r\n\r\n"
            async with asyncio.timeout(limits.stuck):
                await response.write(2 * (head.encode() + still.data + b"\r\n"))
            again = loop.time() + limits.silence  # the same picture
            await asyncio.sleep(PACE)
            while ring.newest_key() == shown and loop.time() < again:
                if ring.ended or not is_current() or is_gone(request):
                    return response
                await arrival(ring, ring.head, limits.tick)
            shown = ring.newest_key()
            with suppress(Fault):  # when a picture cannot be made just now, the one before is shown
                still = await stills.take(ring, viewer=viewer(request))
    except TimeoutError:
        if transport is not None:
            transport.abort()
    except ConnectionError:
        pass  # the client has gone; there is nobody to tell
    return response
