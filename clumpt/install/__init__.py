"""Running the package managers of the node, safely."""
