"""What decodes and encodes with PyAV, shared by the workers of several domains; blocking side."""
