"""The commands and what only they need: a site never imports any of it."""
