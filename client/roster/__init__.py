"""The rosters that a silo goes by: the policy's, and each change that was approved since."""
