"""JD daBNN: capabilities."""
