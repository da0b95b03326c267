"""A real recorder whose identity key lies in a real swtpm, which goes away and comes back while it works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from agent.config import CameraConfig, Config
from agent.configrules import TpmHandle
from agent.errors import Exit
from agent.evidence.findings import Sure, What
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import Report, verify
from agent.identity import TpmSigner
from agent.station import admin
from agent.station.layout import AgencyPaths
from agent.tpm import key
from agent.tpm.device import Tpm
from tests.recorder_kit import RecorderProcess, make_config
from tests.station.kit import own_agency
from tests.tpm.kit import SoftwareTpm, software_tpm

CAMERA, HANDLE = "cam-tpm", TpmHandle(0x81010001)


def camera_with(tpm: SoftwareTpm, agency: AgencyPaths, root: Path) -> Config:
    key.create(Tpm(tpm.path), HANDLE)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(TpmSigner(HANDLE, tpm.path).issuing_key, hashes.SHA256())
    paths = own_agency(agency, root / "agency")
    keys = admin.enrol(paths.root, CAMERA, identity_csr=csr.public_bytes(serialization.Encoding.PEM))
    config = make_config(paths, root)
    sealing = replace(config.sealing, identity_key=HANDLE, identity_chain=keys.identity_chain, tpm_device=tpm.path)
    return replace(config, camera=CameraConfig(id=CAMERA), sealing=sealing)


def verified(config: Config) -> Report:
    return verify(collect([config.spool.dir]), load_root(config.dock.ca))


def test_without_its_tpm_it_records_all_the_same_and_says_so(agency: AgencyPaths, tmp_path: Path) -> None:
    with software_tpm(tmp_path) as tpm:
        config = camera_with(tpm, agency, tmp_path)
        with RecorderProcess(config, tmp_path) as recorder:
            recorder.until(lambda status: status["state"] == "ready")
            tpm.stop()
            recorder.ask("record")
            status = recorder.until(lambda status: status["media_s"] >= 1 and "identity" in status["faults"])
            assert status["faults"]["identity"].startswith(f"no TPM at {tpm.path}")
            tpm.start()
            assert recorder.ask("stop")["whole"]
            recorder.until(lambda status: "identity" not in status["faults"])
            assert recorder.stop() == Exit.OK
        report = verified(config)
        assert {f.what for f in report.findings if f.fails} == set()
        assert {f.sure for f in report.findings if f.what is What.IDENTITY_SILENT} == {Sure.LIKELY}
        (recording,) = report.logs[0].watch.recordings.values()
        assert recording.ended == "stop"
        assert recording.parts >= 2


def test_it_does_not_start_without_the_key_it_is_told_to_sign_with(agency: AgencyPaths, tmp_path: Path) -> None:
    with software_tpm(tmp_path) as tpm:
        config = camera_with(tpm, agency, tmp_path)
        other = replace(config, sealing=replace(config.sealing, identity_key=TpmHandle(0x81010009)))
        with RecorderProcess(other, tmp_path) as recorder:
            assert recorder.process.wait(30) == Exit.KEYS
            assert "no key at TPM handle 0x81010009" in recorder.log.read_text()
        tpm.stop()
        with RecorderProcess(config, tmp_path) as recorder:
            assert recorder.process.wait(30) == Exit.DEVICE
            assert f"no TPM at {tpm.path}" in recorder.log.read_text()
