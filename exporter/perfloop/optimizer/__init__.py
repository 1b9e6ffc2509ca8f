"""Decide, drive and judge: policy, state machine, controller, evaluator."""
