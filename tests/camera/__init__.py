"""Tests of the sample camera."""
