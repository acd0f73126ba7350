"""Who gets in over HTTP: keys, sessions, scopes, rates, and the headers that protect browsers."""
