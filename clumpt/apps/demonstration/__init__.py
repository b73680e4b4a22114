"""The parts of C{clumpt demo}: a whole deployment in a temporary folder, on the loopback."""
