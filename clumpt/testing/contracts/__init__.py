"""What every implementation of a seam must do: tests without a subject, for real parts and fakes alike."""
