"""Strangers, and viewers with one play token, against a good user: what they do may not stop him."""
