"""The contracts: one class of tests for a seam, passed by the fake and by the real part alike."""
