"""A certificate authority of a test's own, by the openssl command."""
import pathlib
import shutil
import subprocess


class Authority:
    def __init__(self, folder, name="Test CA", above=None):
        self.folder, self.name = pathlib.Path(folder), name
        self.folder.mkdir(parents=True)
        self.cert, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        if above:
            self.key = above._sign(self.cert, self.key, name, "basicConstraints=critical,CA:TRUE\n")[1]
        else:
            self._openssl("req", "-x509", *NEW_KEY, "-keyout", self.key, "-out", self.cert, "-subj", f"/CN={name}",
                          "-days", "30")

    def intermediate(self, name):
        """A CA whose own certificate is signed by this one."""
        return Authority(self.folder / "intermediate", name, above=self)

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)

    def sign(self, name, hosts="DNS:localhost,IP:127.0.0.1", expired=False, purpose=None):
        """(certificate, key) for those names; an expired one was good until yesterday."""
        extensions = f"subjectAltName={hosts}\n" + (f"extendedKeyUsage={purpose}\n" if purpose else "")
        return self._sign(self.folder / f"{name}.pem", self.folder / f"{name}.key", name, extensions,
                          "-1" if expired else "30")

    def _sign(self, cert, key, name, extensions, days="30"):
        request, file = cert.with_suffix(".csr"), cert.with_suffix(".ext")
        file.write_text(extensions)
        self._openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-out",
                      cert, "-extfile", file, "-days", days)
        key.chmod(0o600)
        return cert, key

    def self_signed(self, name, kind=None):
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        self._openssl("req", "-x509", *(kind or NEW_KEY), "-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-addext",
                      "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "30")
        return cert, key

    def hashed_folder(self, beside=None):
        """As /etc/ssl/certs is: the certificate under its hash; with all that is in the folder `beside`, too."""
        folder = self.folder / "certs"
        if beside:
            shutil.copytree(beside, folder, symlinks=True)
        else:
            folder.mkdir()
        (folder / "test-ca.pem").write_bytes(self.cert.read_bytes())
        self._openssl("rehash", folder)
        return folder


RSA_KEY = ("-newkey", "rsa:2048", "-nodes")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
