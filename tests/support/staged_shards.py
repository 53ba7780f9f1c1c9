"""The shards of a run that scored and has not finished."""

from pathlib import Path

from transforms.runs.ledger import REJECTS, SCORES
from transforms.runs.shards import Shard
from transforms.storage.staging import staging_folder


def staged_shards(output: Path, run_id: str, scores: int, rejects: int) -> list[Shard]:
    """Staged files that hold the id of their run."""
    staging = Path(staging_folder(str(output), run_id))
    staging.mkdir(parents=True)
    kinds = [SCORES] * scores + [REJECTS] * rejects
    shards = []
    for number, kind in enumerate(kinds):
        path = staging / f"{kind}-{number}.parquet"
        path.write_text(run_id)
        first_id = f"r{len(kinds) - number}"  # in the opposite order of the paths
        shards.append(Shard(kind, str(path), 10 + number, first_id, {}))
    return shards
