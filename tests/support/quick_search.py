"""What a trial of a tuning job runs where only its surroundings are tested: done at once.

It says a loss that depends on `dropout`, fails at 0.1, and hands out a ready bundle.
"""

from __future__ import annotations

CHILD = """\
import json, os, shutil
from pathlib import Path
raw = json.loads(Path(os.environ["SM_INPUT_CONFIG_DIR"], "hyperparameters.json").read_text())
if "_tuning_objective_metric" not in raw:  # a search inside the job
    raw["dropout"] = "0.3"
    print("[trial] 1/2 val_loss=0.7 best=0.7 {dropout=0.1} pruned")
    print("[trial] 2/2 val_loss=0.5 best=0.5 {dropout=0.3}")
dropout, epochs = json.loads(raw["dropout"]), json.loads(raw["epochs"])
if dropout == 0.1:
    Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("the loss is not finite")
    raise SystemExit(1)
loss = {"auto": 0.6, 0.2: 0.4, 0.3: 0.5}.get(dropout, 0.7)
for epoch in range(1, epochs + 1):
    print(f"[metric] epoch={epoch} val_loss={loss + 0.01}", flush=True)
print(f"[metric] epoch={epochs} val_loss={loss}", flush=True)
bundle = Path(__file__).parent / "bundle"
shutil.copytree(bundle, os.environ["SM_MODEL_DIR"], dirs_exist_ok=True)
report = Path(os.environ["SM_OUTPUT_DATA_DIR"], "report.html")
report.write_text(f"<html>{dropout}</html>")
"""
