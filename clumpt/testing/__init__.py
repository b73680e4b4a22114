"""Fakes, contracts and a simulated world, for our tests and yours."""
