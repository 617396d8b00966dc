"""What starts the engines, gives them their turns, judges their results and reports."""
