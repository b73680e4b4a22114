A package goes on round past a peer that does not keep up, or is silent: the others are not held up by more than a moment.
