"""Operators that start runs, wait for them and read what they did."""
