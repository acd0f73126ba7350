"""The bytes of MP4: boxes, inits, fragments, and what a file declares. Pure."""
