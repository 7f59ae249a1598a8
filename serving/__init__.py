"""What runs next to an exported model: a local server with TensorFlow Serving's REST routes, and clients."""
