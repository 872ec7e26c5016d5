"""Images: where they come from, their identity, and what a run sees of them. It uses the foundation."""
