"""What the gateway tells about itself: figures and log events."""
