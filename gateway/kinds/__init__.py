"""What can be asked for: one file a kind, one row here."""

from typing import Final

from gateway.kinds import rtsp, set_watermark, snapshot, transcoder, vod, vod_control, vod_watermark, watermark
from gateway.kinds.kind import Kind

KINDS: Final[tuple[Kind, ...]] = (
    rtsp.KIND,
    vod.KIND,
    *vod_control.KINDS,
    vod_watermark.KIND,
    watermark.KIND,
    transcoder.KIND,
    set_watermark.KIND,
    snapshot.KIND,
)
