"""Programs written for other libraries of freely wired networks, with the import changed."""
