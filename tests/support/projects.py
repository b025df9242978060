"""Small projects in a temporary directory: a table, a source and a project.toml."""

from __future__ import annotations

from pathlib import Path

TOML = """\
name = "small"

[data]
source = "rows.csv"
target = "late"
task   = "binary"
split  = { by = "random", validation = "20%", test = 0.2 }

[data.columns]
distance = { kind = "numeric" }
carrier  = { kind = "category", min_count = 1 }

[sources.carriers]
table = "carriers.csv"
keys  = { carrier = "code" }
columns = { age = { kind = "numeric" } }

[training]
hyperparameters = { epochs = 1, units = 8 }
max_runtime = "10m"

[tuning]
trials = 1
[tuning.space]
dropout = [0.0, 0.2]
"""

CARRIERS = "code,age\n" + "".join(
    f"{letter}{digit},{digit * 10}\n" for letter in "AB" for digit in range(3)
)


def make(directory: Path, toml: str = TOML, carriers: str = CARRIERS) -> Path:
    """Write the project and return its file."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{100 + 7 * row},{'AB'[row % 2]}{row % 3},{str(row % 5 < 2).lower()}" for row in range(100)
    ]
    (directory / "rows.csv").write_text("distance,carrier,late\n" + "\n".join(rows) + "\n")
    (directory / "carriers.csv").write_text(carriers)
    file = directory / "project.toml"
    file.write_text(toml)
    return file
