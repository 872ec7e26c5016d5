"""What people see: figures, text, and what the notebooks talk to. It uses every other room."""
