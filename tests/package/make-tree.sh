#!/usr/bin/env bash
# A clean Debian of this machine's release, as an archive: what the package tests install into and boot. No file of this
# machine's apt or dpkg is touched. usage: make-tree.sh ARCHIVE (MIRROR: another mirror than the machine's own)
set -euo pipefail
archive=$1
if [ -e "$archive" ]; then exit 0; fi
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=${MIRROR:-$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
  awk -F'|' '$1 == "Debian" && !found {print $2; found = 1}')}
[ -n "$mirror" ] || { echo "make-tree: this machine's apt knows no Debian mirror: name one in MIRROR" >&2; exit 1; }
apt_options=(--aptopt='Acquire::Languages "none"')
while IFS= read -r option; do apt_options+=(--aptopt="$option"); done < <(apt-config dump | grep -iE '^Acquire::https?::')
mkdir -p "$(dirname "$archive")"
# The lists stay, so that the tests can ask for a package's dependencies; arm64, for the meter's.
mmdebstrap --quiet --variant=apt --architectures=amd64,arm64 --include=systemd,mosquitto --skip=cleanup/apt/lists \
  "${apt_options[@]}" --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$archive.new.tar" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
mv "$archive.new.tar" "$archive"
