"""What a run is, the networks, and how they are trained, one or many at once. It uses data and foundation."""
