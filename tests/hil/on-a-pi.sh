#!/usr/bin/env bash
# Counts known pulses on a real Raspberry Pi and compares. See --help.
set -euo pipefail
project=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")

usage() {
  cat <<'HELP'
usage: tests/hil/on-a-pi.sh [--quick | --long] USER@HOST [BUILD]

Puts a known number of pulses on one pin of a Raspberry Pi, has meter-pi count them on another, and compares. BUILD is
the folder of the preset `pi` (default: build/pi).

Before:
  * Shut the Pi down and connect pin 11 (GPIO17) with pin 12 (GPIO18), its neighbour, by one jumper wire (better: by
    1 kΩ). Nothing else may be on these two pins: no sensor.
  * USER can log in by ssh without being asked, and is in the group gpio. No other meter-pi is running on GPIO17.

What it needs on the Pi goes to a new folder in /tmp and is removed in the end. No broker and no server are needed: the
register alone is compared, by `meter-pi status --json`.

  --quick   a tenth of the pulses
  --long    ten times as many

Exit status: 0 all totals are equal, 1 they are not or something failed, 2 wrong usage.

environment:
  SSH, SCP  programs to be used instead of ssh and scp
HELP
}
wrong_usage() { printf 'on-a-pi.sh: %s\n' "$*" >&2; usage >&2; exit 2; }
fail() { printf 'on-a-pi.sh: %s\n' "$*" >&2; exit 1; }

tenths=10 words=()
for argument in "$@"; do
  case $argument in
    --quick) tenths=1 ;;
    --long) tenths=100 ;;
    --help) usage; exit 0 ;;
    -*) wrong_usage "unknown argument $argument" ;;
    *) words+=("$argument") ;;
  esac
done
[[ ${#words[@]} -ge 1 && ${#words[@]} -le 2 ]] || wrong_usage "USER@HOST is wanted"
host=${words[0]} build=${words[1]:-$project/build/pi}
programs=("$build/meter-pi/meter-pi" "$build/tests/hil/pulse")
for program in "${programs[@]}"; do
  [ -x "$program" ] || fail "$program is not there: cmake --preset pi && cmake --build --preset pi"
done

on_pi() { "${SSH:-ssh}" "$host" "$1"; }

folder=$(on_pi 'mktemp -d /tmp/pulsemeter-XXXXXX') || fail "cannot log in to $host"
[[ $folder == /tmp/pulsemeter-* ]] || fail "unexpected answer of $host: $folder"
clean_up() {
  # It may be ending a reading: a minute at most.
  on_pi "cd /tmp; if [ -e $folder/pid ]; then
      pid=\$(cat $folder/pid); kill \$pid
      for turn in \$(seq 600); do kill -0 \$pid 2>/dev/null || break; sleep 0.1; done
    fi
    rm -r $folder" </dev/null >/dev/null 2>&1 ||
    printf 'on-a-pi.sh: %s is left on %s\n' "$folder" "$host" >&2
}
trap clean_up EXIT
"${SCP:-scp}" -q "${programs[@]}" "$host:$folder/" || fail "cannot copy to $host:$folder"

# A meter of its own, whose broker is nowhere. The key goes through standard input: never into arguments.
on_pi "umask 077 && cat >$folder/test.toml" <<TOML
[meter]
id = "jumper"
key = "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
imp_per_kwh = 10000
max_kw = 43
interval_s = 1
[broker]
url = "mqtt://127.0.0.1:9"
[gpio]
line = "GPIO17"
pull = "down"
active = "high"
TOML

on_pi "cd $folder && { ./meter-pi run --config test.toml --source gpio --state state </dev/null >out 2>err & echo \$! >pid; }"

register() { # FIELD: of the measured register, nothing while there is none
  on_pi "$folder/meter-pi status --json --state $folder/state 2>/dev/null" </dev/null | python3 -c "
import json, sys
text = sys.stdin.read().strip()
found = [each for each in json.loads(text)['registers'] if each['source'] == 'measured'] if text else []
print(found[0]['$1'] if found else '')"
}
show_errors() { on_pi "tail -n 5 $folder/err" </dev/null >&2 || true; }
wait_for() { # TOTAL SECONDS: until the register has it, or has not changed for so long
  local total='' last='' since=$SECONDS
  while [ "$total" != "$1" ] && [ $((SECONDS - since)) -lt "$2" ]; do
    total=$(register total_pulses) || true
    [ "$total" = "$last" ] || since=$SECONDS
    last=$total
    sleep 0.2
  done
  echo "${total:-nothing}"
}

[ "$(wait_for 0 60)" = 0 ] || { show_errors; fail "meter-pi does not start on $host, or pulses come without being sent"; }
echo "$host: $(on_pi "$folder/meter-pi --version; uname -r" </dev/null | tr '\n' ' ')"

expected=0
send() { # COUNT ON_US OFF_US
  local count=$(($1 * tenths / 10)) counted
  on_pi "$folder/pulse GPIO18 $count $2 $3" </dev/null || { show_errors; fail "the pulses could not be sent"; }
  counted=$(wait_for $((expected + count)) 10)
  printf '%6d pulses, %5.1f ms on, %5.1f ms off: ' "$count" "$(($2 / 100))e-1" "$(($3 / 100))e-1"
  if [ "$counted" != $((expected + count)) ]; then
    echo "the register has $counted, $((expected + count)) were sent"
    show_errors
    fail "the totals are not equal (is the jumper from pin 11 to pin 12 there?)"
  fi
  echo "all counted"
  expected=$((expected + count))
}
send 1000 30000 30000 # the shortest that an S0 output may make
send 5000 4200 4200   # 119 a second
send 1000 2000 18000  # short flashes
sleep 2 # two readings later
[ "$(register total_pulses)" = "$expected" ] || fail "the total has grown after the last pulse: noise on the pin?"
echo "all $expected pulses counted, $(register missed_edges) edges missed, $(register glitches) glitches"
