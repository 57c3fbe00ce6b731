"""A simulated city and its four sources, in the formats vendors send, with the ground truth beside them."""
