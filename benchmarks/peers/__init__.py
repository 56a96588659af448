"""One small driver for each peer; a peer is imported only by its own driver, when it starts."""
