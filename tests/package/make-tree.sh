#!/usr/bin/env bash
# A Debian of this machine's release, as an archive. No file of this machine's apt or dpkg is touched.
#   make-tree.sh clean ARCHIVE   what the package tests install into and boot
#   make-tree.sh board ARCHIVE   arm64, unpacked and no more: a systemd for the emulated board (tests/hil)
# MIRROR: another mirror than the machine's own
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: make-tree.sh clean|board ARCHIVE" >&2; exit 2; }
archive=$2
if [ -e "$archive" ]; then exit 0; fi
case $1 in
  # The lists stay, so that the tests can ask for a package's dependencies; arm64, for the meter's.
  clean) options=(--variant=apt "--architectures=amd64,arm64" "--include=systemd,mosquitto" --skip=cleanup/apt/lists) ;;
  board) options=(--variant=extract --architectures=arm64 "--include=systemd,udev"
                  --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --dpkgopt='path-exclude=/usr/share/doc/*') ;;
  *) echo "make-tree: there is no tree $1" >&2; exit 2 ;;
esac
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=${MIRROR:-$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
  awk -F'|' '$1 == "Debian" && !found {print $2; found = 1}')}
[ -n "$mirror" ] || { echo "make-tree: this machine's apt knows no Debian mirror: name one in MIRROR" >&2; exit 1; }
apt_options=(--aptopt='Acquire::Languages "none"')
while IFS= read -r option; do apt_options+=(--aptopt="$option"); done < <(apt-config dump | grep -iE '^Acquire::https?::')
mkdir -p "$(dirname "$archive")"
mmdebstrap --quiet "${options[@]}" "${apt_options[@]}" --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$archive.new.tar" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
mv "$archive.new.tar" "$archive"
