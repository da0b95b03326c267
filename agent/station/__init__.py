"""The agency's side of the dock, on one desk: store, attest, and the agency's keys."""
