"""The words that all layers share: runs, targets, calls and errors."""
