"""
What only whole machines show: systemd, its units, shutting down, power failures.

C{make test-booted} runs it; it is not part of C{make test}, as not every machine can boot others.
"""
