"""Named datasets: their sources and their layouts."""
