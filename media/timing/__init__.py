"""Clocks and rhythms: decode times, chunk lengths, pacing, retries. Pure."""
