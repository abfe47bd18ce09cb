"""Automatic failover on one machine: watch, decide, fence, promote, bring back."""
