"""The pages run: every block of README.md and docs that says it can be typed is typed."""
