"""The coordinator as a pure state machine: events in, commands out."""
