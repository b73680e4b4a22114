A large package for one group goes round from each peer to the next by itself, as long as all keep up: less CPU, fewer messages, and with a few peers within some percent of what links can carry.
