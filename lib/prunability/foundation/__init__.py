"""What everything stands on: errors, files, where to compute, seeds, progress. It uses nothing of this project."""
