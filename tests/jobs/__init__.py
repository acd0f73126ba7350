"""Tests of the job core, its driver and its store."""
