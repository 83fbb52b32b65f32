"""What a Trainer asks of a network, event by event or on a grid."""
