"""The commands, as `python -m flask_autoconfig` runs them."""

from .tools.cli import main

main()
