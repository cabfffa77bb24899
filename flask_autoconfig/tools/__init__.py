"""The commands, and all that only they need: a site never imports any of it."""
