"""A TPM 2.0: the identity key that cannot be copied, and the counter that no card can turn back."""
