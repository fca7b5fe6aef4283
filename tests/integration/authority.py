"""A certificate authority of a test's own, by the openssl command."""
import pathlib
import subprocess


class Authority:
    def __init__(self, folder, name="Test CA"):
        self.folder, self.name = pathlib.Path(folder), name
        self.folder.mkdir(parents=True)
        self.cert, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self._openssl("req", "-x509", *NEW_KEY, "-keyout", self.key, "-out", self.cert, "-subj", f"/CN={name}",
                      "-days", "30")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)

    def sign(self, name, hosts="DNS:localhost,IP:127.0.0.1", expired=False):
        """(certificate, key) for those names; an expired one was good until yesterday."""
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={hosts}\n")
        self._openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out",
                      cert, "-extfile", extensions, "-days", "-1" if expired else "30")
        key.chmod(0o600)
        return cert, key

    def self_signed(self, name, kind=None):
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        self._openssl("req", "-x509", *(kind or NEW_KEY), "-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-addext",
                      "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "30")
        return cert, key

    def hashed_folder(self):
        """As /etc/ssl/certs is: the certificate under its hash."""
        folder = self.folder / "certs"
        folder.mkdir()
        (folder / "test-ca.pem").write_bytes(self.cert.read_bytes())
        self._openssl("rehash", folder)
        return folder


RSA_KEY = ("-newkey", "rsa:2048", "-nodes")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
