"""What people believe about NaN in training, each belief beside its own measurement: python -m exp.beliefs."""
