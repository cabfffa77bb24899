"""The TOML file: its tables, what they may say, how they are read and written."""
