"""What training, inference and deployment must agree on. Importing it loads numpy at most."""
