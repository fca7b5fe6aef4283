#!/usr/bin/env bash
# Unpacks signed Debian packages into a tree of their own: no root, nothing of this machine's apt or dpkg touched.
# `make-sysroot.sh --help` says which trees there are and what they are for.
set -euo pipefail
export LC_ALL=C
umask 022

usage() {
  cat <<'HELP'
usage: toolchains/make-sysroot.sh [--refresh] pi|native|board [DIR]

Unpacks Debian packages into DIR (default: build/sysroot/NAME of this project):
  pi      arm64, Debian 12: what meter-pi is cross-compiled against (preset `pi`)
  native  this machine's architecture: libgpiod 2 for builds on Debian 12, which has version 1
  board   arm64, Debian 13: the kernel and the busybox of the emulated board (tests/hil)

A tree that is there already is left alone; --refresh looks whether the archive has newer packages.
Only signed package lists are believed, and the sum of every package is checked. No package's script is run.

environment:
  MIRROR    a Debian mirror (default: the one that this machine's apt uses)
  SECURITY  likewise for the security archive; empty: do without
  KEYRING   the keys that sign both (default: /usr/share/keyrings/debian-archive-keyring.gpg)
HELP
}
say() { printf 'make-sysroot: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
wrong_usage() { say "$*"; usage >&2; exit 2; }

refresh=no
names=()
for argument in "$@"; do
  case $argument in
    -h | --help) usage; exit 0 ;;
    --refresh) refresh=yes ;;
    -*) wrong_usage "unknown option $argument" ;;
    *) names+=("$argument") ;;
  esac
done
[ ${#names[@]} -ge 1 ] && [ ${#names[@]} -le 2 ] || wrong_usage "name one tree"

# What each tree holds. `install` takes all that the packages depend on, `download` the packages alone.
tree=${names[0]}
suite=bookworm suites="bookworm bookworm-updates bookworm-backports" architecture=arm64 verb=install sources=()
case $tree in
  pi)
    wanted=(libc6-dev libgpiod-dev libpaho-mqtt-dev libpaho-mqttpp-dev libssl-dev libsqlite3-dev libsqlitecpp-dev
            libboost-dev libboost-test-dev libcli11-dev libtomlplusplus-dev libspdlog-dev libfmt-dev
            nlohmann-json3-dev libexpected-dev librapidcheck-dev)
    sources=(paho.mqtt.cpp) ;; # Debian 12 has no libpaho-mqttpp3.a
  native)
    architecture=$(dpkg --print-architecture) verb=download
    wanted=(libgpiod-dev libgpiod3) ;;
  board)
    suite=trixie suites="trixie trixie-updates" verb=download
    wanted=(linux-image-arm64 busybox-static) ;;
  *) wrong_usage "there is no tree $tree" ;;
esac

for tool in apt-get apt-cache dpkg-deb gpgv sha256sum flock tar realpath; do
  command -v "$tool" >/dev/null || fail "needs $tool: this works on Debian and what derives from it"
done
project=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
directory=${names[1]:-$project/build/sysroot/$tree}
mkdir -p "$directory"
directory=$(realpath "$directory")
[ "$directory" != / ] || fail "not into /"
stamp=$directory/.sysroot # line 1: this recipe, line 2: the packages
if [ ! -e "$stamp" ] && [ -n "$(ls -A "$directory")" ]; then
  fail "$directory holds something that this script did not make: name another folder"
fi

state=$directory.apt
mkdir -p "$state"/{lists/partial,archives/partial,nothing/partial,sources,empty,log}
exec 9>"$state/lock"
flock -n 9 || { say "waiting for another make-sysroot at work on $directory"; flock 9; }
recipe=$(sha256sum "${BASH_SOURCE[0]}" | cut -d' ' -f1)
if [ "$refresh" = no ] && [ "$(sed -n 1p "$stamp" 2>/dev/null)" = "$recipe" ]; then
  say "$directory is there"
  exit 0
fi

own_mirror() { # LABEL: the repository of that label in this machine's own sources
  apt-get indextargets --format '$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -F'|' -v label="$1" '$1 == label && !found {print $2; found = 1}'
}
mirror=${MIRROR:-$(own_mirror Debian)}
security=${SECURITY-$(own_mirror Debian-Security)}
keyring=${KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
[ -n "$mirror" ] || fail "this machine's apt knows no Debian mirror: run apt-get update, or name one in MIRROR"
[ -r "$keyring" ] || fail "no $keyring: apt-get install debian-archive-keyring, or name another in KEYRING"

source_entry() { # TYPE URI SUITES
  printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' "$1" "$2" "$3" "$keyring"
}
{
  source_entry deb "$mirror" "$suites"
  [ -z "$security" ] || source_entry deb "$security" "$suite-security"
  [ ${#sources[@]} -eq 0 ] || source_entry deb-src "$mirror" "$suite"
} >"$state/sources/debian.sources"
printf 'Package: src:libgpiod\nPin: release n=bookworm-backports\nPin-Priority: 990\n' >"$state/preferences"
: >"$state/status" # nothing counts as installed, so that everything is resolved
# APT_CONFIG is read before the machine's own configuration, which its first lines keep out, all but a proxy's.
{
  cat <<CONFIG
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "$state/empty";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$state/sources";
Dir::Etc::Preferences "$state/preferences";
Dir::Etc::PreferencesParts "$state/empty";
Dir::Etc::Trusted "/dev/null";
Dir::Etc::TrustedParts "$state/empty";
Dir::State "$state";
Dir::State::Lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Cache::archives "$state/archives";
Dir::Log "$state/log";
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Install-Recommends "false";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
APT::Sandbox::User "$(id -un)";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages "none";
Acquire::ForceHash "SHA256";
Acquire::Retries "3";
CONFIG
  apt-config dump | grep -iE '^Acquire::https?::' || true
} >"$state/apt.conf"
export APT_CONFIG=$state/apt.conf
quietly() { # LOG COMMAND…: its diagnostics only when it fails
  local log=$state/log/$1
  shift
  "$@" 2>"$log" || { cat "$log" >&2; fail "failed: $*"; }
}

say "package lists of $suites${security:+ $suite-security} ($architecture)"
quietly update apt-get -q update >/dev/null
if [ "$tree" = board ]; then # the package of the newest kernel's name holds nothing but a dependency
  wanted[0]=$(apt-cache depends linux-image-arm64 | awk '$1 == "Depends:" && /linux-image/ {print $2; exit}')
  [ -n "${wanted[0]}" ] || fail "linux-image-arm64 names no kernel"
fi

# Name, size and sum of each file from the signed lists; in an empty folder, so that none is left out for being here.
cd "$state/nothing"
quietly resolve apt-get -qq -y --print-uris -o Dir::Cache::archives="$state/nothing" "$verb" "${wanted[@]}" >"$state/uris"
[ ${#sources[@]} -eq 0 ] ||
  quietly resolve-source apt-get -qq --print-uris --tar-only source "${sources[@]}" |
    grep -F .orig.tar. >>"$state/uris" || fail "no source package ${sources[*]}"
awk '{sub(/^SHA256:/, "", $4); print $4 "  " $2}' "$state/uris" >"$state/sums"
for package in "${wanted[@]}"; do
  grep -qF "  ${package}_" "$state/sums" || fail "the archive has no $package"
done
packages=$(sort "$state/sums" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$recipe"$'\n'"$packages" ]; then
  say "$directory is up to date"
  exit 0
fi

say "$(wc -l <"$state/uris") packages, $(awk '{n += $3} END {printf "%.1f", n / 1e6}' "$state/uris") MB"
cd "$state/archives"
# apt believes a file in its cache by its size alone: what an earlier run left goes unless its sum is right.
while read -r sum file; do
  [ ! -e "$file" ] || printf '%s  %s\n' "$sum" "$file" | sha256sum --status -c || rm -f "$file"
done <"$state/sums"
quietly download apt-get -qq -y --download-only "$verb" "${wanted[@]}" >/dev/null
[ ${#sources[@]} -eq 0 ] ||
  quietly download-source apt-get -qq --download-only --tar-only source "${sources[@]}" >/dev/null
sha256sum --quiet --strict -c "$state/sums" >&2 || fail "a package is not the one that the signed lists name"

# Unpacked beside and swapped in whole: a run that breaks off leaves the old tree.
new=$directory.new
rm -rf "$new"
mkdir -p "$new"/usr/{bin,sbin,lib}
for folder in bin sbin lib; do ln -s "usr/$folder" "$new/$folder"; done
while read -r _ file; do
  case $file in
    *.orig.tar.*)
      folder=$new/usr/src/${file%%_*}
      mkdir -p "$folder"
      tar -x --no-same-owner --strip-components=1 -C "$folder" -f "$file" ;;
    *)
      dpkg-deb --fsys-tarfile "$file" |
        tar -x --keep-directory-symlink --no-same-owner -C "$new" --exclude='./usr/share/doc/*/*' \
          --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='./usr/share/lintian' ;;
  esac
done <"$state/sums"
# A tree is not a root: what names /… must name the tree instead.
while IFS= read -r -d '' link; do
  ln -sfn "$(realpath -ms --relative-to="$(dirname "$link")" "$new$(readlink "$link")")" "$link"
done < <(find "$new" -type l -lname '/*' -print0)
if [ "$tree" = native ]; then
  sed -i 's|^prefix=/usr$|prefix=${pcfiledir}/../../..|; s|=/usr/|=${prefix}/|' "$new"/usr/lib/*/pkgconfig/*.pc
fi
if [ "$tree" = pi ]; then
  # The C++ library alone, for the linker: beside it lies GCC's own libgcc, which is the cross compiler's business.
  mkdir "$new/.cxx"
  for library in "$new"/usr/lib/gcc/*/*/lib{stdc++,stdc++fs,supc++}.{a,so}; do
    [ ! -e "$library" ] || ln -s "../${library#"$new/"}" "$new/.cxx/"
  done
fi
printf '%s\n' "$recipe" "$packages" >"$new/.sysroot"
rm -rf "$directory.old"
mv "$directory" "$directory.old"
mv "$new" "$directory"
rm -rf "$directory.old"
for file in *.deb *.orig.tar.*; do
  [ ! -e "$file" ] || grep -qF "  $file" "$state/sums" || rm -f "$file"
done
say "$directory is ready: $(du -sh "$directory" | cut -f1)"
