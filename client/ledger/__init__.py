"""The silo's durable record of charges and releases."""
