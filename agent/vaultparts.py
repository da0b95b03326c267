"""What the vault is opened with, as the configuration says."""

from __future__ import annotations

from pathlib import Path

from agent.config import Config, SpoolConfig
from agent.errors import KeyTrustError, StorageError
from agent.formats import age
from agent.model import NS, SegmentState
from agent.sealing.sealer import SealerSettings
from agent.sealing.writer import reserve_file
from agent.spool.store import Spool
from agent.startcounter import Counter


def counter_of(config: Config) -> Counter | None:
    sealing = config.sealing
    if sealing.rollback_counter is None:
        return None
    # Here, so that a camera without a TPM loads nothing of one.
    from agent.tpm.counter import NvCounter
    from agent.tpm.device import Tpm

    return NvCounter(Tpm(sealing.tpm_device), sealing.rollback_counter)


def read_chain(config: Config) -> bytes:
    path: Path = config.sealing.identity_chain
    try:
        return path.read_bytes()
    except OSError as err:
        raise KeyTrustError(f"identity chain {path}: {err.strerror}", "enrol the camera, or correct the path") from err


def sealer_settings(config: Config, spool: Path) -> SealerSettings:
    """`spool`: its directory, which need not be there yet."""
    bits_s = (config.video.bitrate_kbps + config.audio.bitrate_kbps) * 1000
    expected = bits_s // 8 * config.recording.segment_s * 11 // 10
    limit = config.recording.segment_mib << 20
    return SealerSettings(
        camera=config.camera.id,
        recipients=tuple(age.parse_recipient(r) for r in config.sealing.recipients),
        open_dir=spool / SegmentState.OPEN.value,
        sealed_dir=spool / SegmentState.SEALED.value,
        log_reserve=spool / "log" / "reserve",
        segment_ns=config.recording.segment_s * NS,
        segment_bytes=limit,
        media_reserve_bytes=min(expected, limit),
        reserve_ns=config.recording.segment_s * NS * min(expected, limit) // expected,
        ring_ns=config.recording.pre_event_s * NS,
        free_floor_bytes=config.spool.free_floor_mib << 20,
        log_reserve_bytes=config.spool.log_reserve_mib << 20,
    )


def reserve_log(spool: Spool, reserve: Path, config: SpoolConfig) -> StorageError | None:
    """Hold back room for the log in this file, unless that is done. Returns what keeps it from that."""
    size, floor = config.log_reserve_mib << 20, config.free_floor_mib << 20
    try:
        if not reserve.exists() and spool.space().free_bytes < size + floor:
            # Not the last of the disk: the uploader needs some to bring the receipts that empty it.
            return StorageError(
                f"cannot reserve space for the log in {reserve}: there is less than {size + floor >> 20} MiB",
                "dock, so that what was recorded is sent and deleted",
            )
        reserve_file(reserve, size)
    except StorageError as err:
        return err
    return None
