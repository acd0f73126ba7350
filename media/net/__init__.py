"""Where a source may be reached: names, addresses, TLS, turns at connecting."""
