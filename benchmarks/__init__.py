"""One command each: `python -m benchmarks.backbone`."""
