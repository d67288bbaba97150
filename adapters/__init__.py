"""Formats, a folder each. README.md here says what a folder must hold."""
