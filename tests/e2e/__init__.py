"""What a newcomer types, typed for real: the Makefile, the local cloud, jobs and endpoints."""
