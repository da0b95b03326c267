"""What asks the camera to act: today a local socket; each control is a driver behind the same commands."""
