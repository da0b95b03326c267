"""What asks the camera to act: button, contacts, trigger, local socket; and its answers: lights, vibration, tone."""
