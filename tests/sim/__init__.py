"""The simulated cluster: whatever the seed has in store, what Clumpt promises holds."""
