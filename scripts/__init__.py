"""What the project's scripts need beyond its rooms."""
