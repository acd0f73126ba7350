"""Pictures: watermarks that were read and checked, and stills of streams."""
