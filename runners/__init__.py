"""What executes and measures artefacts."""
