"""The ways of watching a stream over HTTP: one module for each."""
