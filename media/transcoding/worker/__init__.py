"""The worker process of a transcoder: chunks of another stream in, chunks with a watermark out."""
