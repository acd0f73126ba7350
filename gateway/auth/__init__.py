"""Who may call: API keys, JSON Web Tokens, play tokens, and the key that seals secrets in the store."""
