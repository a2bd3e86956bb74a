"""Facts about boards and chips, one TOML each."""
