"""Values and arithmetic that silos and coordinator share."""
