"""The native engine: capabilities (planned)."""
