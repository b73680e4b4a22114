"""What this is a version of."""

#: The version of the program (PEP 440).
VERSION = "0.1.0"
#: The version of both wire protocols; a peer speaks this one and the one before.
WIRE = 1
#: The version of the signed documents.
FORMAT = 1
