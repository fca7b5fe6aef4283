# shellcheck shell=bash
# Sourced: install_missing LOG PACKAGE… asks apt for what is not there yet, and says so before.
install_missing() {
  local log=$1 missing=() root=() package
  shift
  command -v apt-get >/dev/null || { echo "This needs Debian 12 or 13 (on Windows: WSL 2)." >&2; return 1; }
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Install these as root, then run this again: ${missing[*]}" >&2; return 1; }
    root=(sudo)
  fi
  printf 'Installing what is missing:\n  %s\n' "${root[*]:+${root[*]} }apt-get install --no-install-recommends ${missing[*]}"
  "${root[@]}" apt-get -q update >"$log" 2>&1 || true # stale lists may still do
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install \
    --no-install-recommends "${missing[@]}" >>"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; echo "apt-get could not install them; the whole log: $log" >&2; return 1; }
}
