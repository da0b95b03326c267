"""Trees such as the kernel shows under /sys/class, as a few boards have them."""

from __future__ import annotations

from pathlib import Path


class Tree:
    """`supply` and `zone` write attributes; None takes one away."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def supply(self, name: str, **attributes: object) -> Path:
        return self._write(self.root / "power_supply" / name, attributes)

    def zone(self, number: int, kind: str, millicelsius: object) -> Path:
        return self._write(self.root / "thermal" / f"thermal_zone{number}", {"type": kind, "temp": millicelsius})

    @staticmethod
    def _write(path: Path, attributes: dict[str, object]) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        for key, value in attributes.items():
            if value is None:
                (path / key).unlink(missing_ok=True)
            else:
                (path / key).write_text(f"{value}\n", "ascii")
        return path
