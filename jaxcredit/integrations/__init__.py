"""Credit inside the trainers of others, each an extra of its own."""
