"""A laboratory for races: hosts, contestants, and what is measured of them."""
