"""Webhooks: what happens to jobs and streams, told to the addresses that the settings name."""
