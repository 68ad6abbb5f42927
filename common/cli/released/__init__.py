"""Commands that look at samplers that were released: what they estimate, what changed."""
