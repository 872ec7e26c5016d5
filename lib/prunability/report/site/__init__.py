"""The static site: pages made of what is committed, and Sphinx that sets them. Uses the rest of report."""
