"""What people who were held out say of a sampler, on a report's page."""
