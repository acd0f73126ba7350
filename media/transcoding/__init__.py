"""Streams that are other streams with a watermark, as the event loop sees them."""
