"""The contracts: tests that a fake and the real part both pass."""
