"""What runs inside the endpoint container. No TensorFlow."""
