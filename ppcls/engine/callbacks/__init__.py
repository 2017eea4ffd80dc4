"""What happens around the training loop."""
