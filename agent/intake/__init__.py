"""From lens and microphone to encoded packets: sources, queues, encoders, the pre-event ring, and whoever is attached
to it.
"""

from agent.intake.delivery import Tally
from agent.intake.intake import Intake
from agent.intake.report import INTAKE_FAULTS, IntakeCounters, IntakeEvent, IntakeEventKind, IntakeSettings

__all__ = ["INTAKE_FAULTS", "Intake", "IntakeCounters", "IntakeEvent", "IntakeEventKind", "IntakeSettings", "Tally"]
