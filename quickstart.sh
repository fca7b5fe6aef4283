#!/usr/bin/env bash
# The main job on one machine, without hardware: a broker on loopback, the server, a simulated meter.
# See --help. Cleans up behind itself; leaves only the build folder, so that a second run starts at once.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
source toolchains/install-missing.sh

usage() {
  cat <<'EOF'
usage: ./quickstart.sh [--seconds N] [--help]

Installs what is missing (by apt, saying what before it does), builds, and shows a simulated meter's totals
rise on the server, each one confirmed back to the meter. Ends on Enter or Ctrl-C, after N seconds with
--seconds N, or after 30 seconds where there is no terminal.
EOF
}

say() { printf '%s\n' "$*"; }
fail() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }
wrong_usage() { printf 'quickstart: %s\n' "$*" >&2; usage >&2; exit 2; }

seconds=
while [ $# -gt 0 ]; do
  case $1 in
    --seconds)
      [ $# -ge 2 ] || wrong_usage "--seconds wants a number"
      [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || wrong_usage "--seconds $2: a whole number from 1 to 999999 is wanted"
      seconds=$2; shift 2 ;;
    --help) usage; exit 0 ;;
    *) wrong_usage "unknown argument $1" ;;
  esac
done
if [ -z "$seconds" ] && [ ! -t 0 ]; then seconds=30; fi

needed=(g++ cmake ninja-build pkg-config libssl-dev libsqlite3-dev libsqlitecpp-dev libpaho-mqtt-dev
        libpaho-mqttpp-dev libcli11-dev libtomlplusplus-dev libspdlog-dev libfmt-dev nlohmann-json3-dev
        libexpected-dev libboost-dev mosquitto)

build() {
  say "Building (the first time takes a few minutes) ..."
  { cmake --preset release && cmake --build --preset release; } >"$work/build.log" 2>&1 ||
    { tail -n 30 "$work/build.log" >&2; fail "the build failed"; }
}

pids=()
work=$(mktemp -d "${TMPDIR:-/tmp}/pulsemeter-quickstart.XXXXXX")
end_all() { # the meter first, the broker last
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  pids=()
}
clean_up() {
  trap - EXIT INT TERM
  end_all
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

start_broker() {
  local port
  for _ in {1..20}; do
    port=$((20000 + RANDOM % 20000))
    printf 'listener %s 127.0.0.1\nallow_anonymous true\npersistence false\n' "$port" >"$work/mosquitto.conf"
    PATH=$PATH:/usr/sbin mosquitto -c "$work/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
    local pid=$!
    for _ in {1..50}; do
      kill -0 "$pid" 2>/dev/null || break # the port is taken: try another
      if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        pids+=("$pid")
        broker=mqtt://127.0.0.1:$port
        return 0
      fi
      sleep 0.1
    done
    kill "$pid" 2>/dev/null || true
  done
  cat "$work/mosquitto.log" >&2
  fail "mosquitto did not start"
}

install_missing "$work/apt.log" "${needed[@]}"
build
bin=build/release

start_broker
(umask 077 && od -An -N18 -tx1 /dev/urandom | tr -d ' \n' >"$work/password")
"$bin/server/meter-server" init --data "$work/server" --broker "$broker" --password-file "$work/password" \
  >"$work/init.log" 2>&1 || { cat "$work/init.log" >&2; fail "meter-server init failed"; }
"$bin/server/meter-server" meter add hall --data "$work/server" --password-file "$work/password" --interval 2 \
  --out "$work/hall.toml" >"$work/init.log" 2>&1 || { cat "$work/init.log" >&2; fail "meter-server meter add failed"; }

say
say "  broker  mosquitto at $broker: sees sealed messages only"
say "  server  meter-server run: opens, checks, stores, confirms"
say "  meter   meter-pi run --source simulate: 0 to 9 units at random, a reading every 2 s"
say
if [ -n "$seconds" ]; then say "Ends after $seconds s."; else say "Press Enter to end."; fi
say

"$bin/server/meter-server" run --data "$work/server" --password-file "$work/password" </dev/null \
  > >(exec sed -u 's/^/server  /') 2>&1 &
pids+=($!)
"$bin/meter-pi/meter-pi" run --config "$work/hall.toml" --source simulate --state "$work/meter" </dev/null \
  > >(exec sed -u 's/^/meter   /') 2>&1 &
pids+=($!)

stop=
trap 'stop=yes' INT # Ctrl-C is a way to end it, not a failure
ended=$((SECONDS + ${seconds:-999999}))
while [ -z "$stop" ] && [ "$SECONDS" -lt "$ended" ]; do
  if [ -t 0 ]; then
    if read -r -t 1 _; then break; fi # Enter
  else
    sleep 1 || true
  fi
  [ -z "$stop" ] || break
  for pid in "${pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || fail "one of the three ended by itself; its last words are above"
  done
done

end_all
sleep 0.2 # their last lines
say
say "What the server knows now (meter-server status):"
"$bin/server/meter-server" status --data "$work/server"
