"""The worker process of pictures: reads a watermark, or decodes a still."""
