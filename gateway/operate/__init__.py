"""What an operator asks of the gateway: health, explain, replay, reconciliation."""
