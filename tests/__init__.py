"""The tests; the real thing is under tests/live."""
