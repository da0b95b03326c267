"""`python -m agent` is `bodycam-agent`."""

import sys

from agent.cli import agent_main

if __name__ == "__main__":
    sys.exit(agent_main())
