"""Folded weights, the decode loop, strategies, the Generator."""
