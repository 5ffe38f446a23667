"""The case, replayed: what killed the training, what the diagnosis says of it, and the same model trained cleanly.

bash scripts/replay_case.sh, or python -m scripts.replay_case.
"""
