"""What runs on a laptop or in CI: projects, plans, deployments and the local cloud."""
