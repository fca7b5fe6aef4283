#!/usr/bin/env bash
# shellcheck disable=SC2317 # the stages are called by name
# Every test, from a bare Debian 12 or 13 on. See --help.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
source toolchains/install-missing.sh

stages=(format dev asan fuzz tsan pi tidy wiring integration package hil) long=()
usage() {
  cat <<HELP
usage: tests/run.sh [--quick | --only STAGE] [--long] [--help]

Installs what is missing (by apt, saying what before it does), builds, and runs every test. The stages:
  format       the layout of the sources (clang-format)
  dev          GCC, warnings are errors: unit and property tests
  asan         clang, AddressSanitizer and UndefinedBehaviorSanitizer; without libgpiod
  fuzz         what strangers and disks may hand us, by libFuzzer with those sanitizers: 20 s a target
  tsan         clang, ThreadSanitizer, for what has threads: the bus, the loop, the edge reader
  pi           cross-built for the Pi, run in an emulator; the program asks for no newer C library
  tidy         clang-tidy on what both programs share; with --long on everything
  wiring       the sensor circuits simulated, and their drawings
  integration  both programs as a user builds them and a real broker; quickstart.sh
  package      both packages in a clean Debian, their services under a real systemd (as root)
  hil          meter-pi on an emulated board with a real kernel and real GPIO edges

  --quick      format and dev only
  --only STAGE that stage only
  --long       with the long figures of the requirements (dev, integration, hil); the fuzzers for ten minutes each;
               faults planted in a copy of the sources, each of which the simulated world must catch (dev); the
               server's package for the Pi

Ends at the first stage that fails. What each stage printed lies in build/logs/STAGE.log.
The last line counts tests: "N passed, N failed". What was skipped is listed and counts as neither.
HELP
}
wrong_usage() { printf 'tests/run.sh: %s\n' "$*" >&2; usage >&2; exit 2; }

while [ $# -gt 0 ]; do
  case $1 in
    --quick) stages=(format dev) ;;
    --only)
      [[ $# -ge 2 && " ${stages[*]} " == *" $2 "* ]] || wrong_usage "--only wants one of: ${stages[*]}"
      stages=("$2")
      shift ;;
    --long) long=(--long) ;;
    --help) usage; exit 0 ;;
    *) wrong_usage "unknown argument $1" ;;
  esac
  shift
done
wants() { # STAGE…: is one of them to be run?
  local stage
  for stage in "$@"; do [[ " ${stages[*]} " != *" $stage "* ]] || return 0; done
  return 1
}

set_up() {
  local needed=(g++ cmake ninja-build pkg-config libssl-dev libsqlite3-dev libsqlitecpp-dev libpaho-mqtt-dev
                libpaho-mqttpp-dev libcli11-dev libtomlplusplus-dev libspdlog-dev libfmt-dev nlohmann-json3-dev
                libexpected-dev libboost-dev libboost-test-dev librapidcheck-dev libbenchmark-dev mosquitto mosquitto-clients
                openssl git iproute2 python3 python3-cryptography python3-paho-mqtt debian-archive-keyring)
  local major
  major=$(. /etc/os-release && echo "${VERSION_ID:-0}")
  [ "$major" = 12 ] || needed+=(libgpiod-dev) # Debian 12 has version 1
  ! wants format || needed+=(clang-format)
  ! wants asan fuzz tsan || needed+=(clang libclang-rt-dev llvm)
  ! wants tidy || needed+=(clang-tidy)
  ! wants pi package hil || needed+=(g++-aarch64-linux-gnu qemu-user)
  ! wants package || needed+=(lintian mmdebstrap systemd)
  ! wants hil || needed+=(qemu-system-arm device-tree-compiler e2fsprogs mmdebstrap systemd)
  ! wants wiring || needed+=(ngspice)
  install_missing build/logs/apt.log "${needed[@]}"
  [ "$major" != 12 ] || toolchains/make-sysroot.sh native 2>&1
  ! wants pi package hil || toolchains/make-sysroot.sh pi 2>&1
  [ "$(id -u)" -ne 0 ] || ! wants package || tests/package/make-tree.sh clean build/package/clean.tar 2>&1
  ! wants hil || toolchains/make-sysroot.sh board 2>&1
  [ "$(id -u)" -ne 0 ] || ! wants hil || tests/package/make-tree.sh board build/package/board.tar 2>&1
}

# A compiler cache is not needed, but used where there is one; it may then serve every folder the project lies in.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
build() { # PRESET [COMPILER [TARGET…]]
  local options=() targets=("${@:3}")
  [ $# -lt 2 ] || options+=("-DCMAKE_C_COMPILER=${2/++/}" "-DCMAKE_CXX_COMPILER=$2")
  ! command -v ccache >/dev/null || options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  cmake --preset "$1" "${options[@]}"
  cmake --build --preset "$1" ${targets[0]:+--target "${targets[@]}"}
}
only=() # arguments of ctest that choose tests
run_ctest() { # PRESET [WRAPPER…]
  local preset=$1
  shift
  "$@" ctest --preset "$preset" "${only[@]}" -j "$(nproc)" --no-tests=error --output-junit "$PWD/build/logs/$preset.xml"
}

stage_format() {
  find shared meter-pi server tests \( -name '*.cpp' -o -name '*.hpp' \) -print0 | xargs -0 clang-format --dry-run -Werror
}
stage_dev() {
  build dev
  run_ctest dev
  /usr/bin/python3 tests/sim/plant-faults.py --list # has each fault still its place in the sources?
  [ ${#long[@]} -eq 0 ] || build/dev/tests/sim/sim_outage --run_test=@long
  [ ${#long[@]} -eq 0 ] || /usr/bin/python3 tests/sim/plant-faults.py
}
stage_asan() {
  build asan clang++
  run_ctest asan
}
stage_fuzz() {
  build asan clang++
  local time=()
  [ ${#long[@]} -eq 0 ] || time=(--long)
  /usr/bin/python3 tests/fuzz/run.py build/asan "${time[@]}"
}
stage_tsan() {
  build tsan clang++ unit_shared unit_meter_pi live_bus
  only=(-R '^(unit_shared|unit_meter_pi|live_bus)$')
  # Where the kernel places memory more at random than ThreadSanitizer can follow, it must not.
  if setarch -R true; then run_ctest tsan setarch -R; else run_ctest tsan; fi
}
stage_pi() {
  build pi
  run_ctest pi
}
stage_tidy() {
  build asan clang++ # whose precompiled headers clang-tidy can read
  local folders="shared"
  [ ${#long[@]} -eq 0 ] || folders+="|meter-pi|server|tests"
  run-clang-tidy -quiet -p build/asan -j "$(nproc)" "$PWD/($folders)/.*\.cpp$"
}
stage_wiring() { /usr/bin/python3 tests/wiring/test_circuits.py; }
stage_integration() {
  build release
  /usr/bin/python3 tests/integration/run.py build/release --quickstart "${long[@]}"
}
stage_package() {
  local preset
  for preset in release pi; do
    build "$preset"
    rm -f build/"$preset"/*.deb
    (cd build/"$preset" && cpack)
  done
  /usr/bin/python3 tests/package/test_package.py "${long[@]}" build/release build/pi build/package/clean.tar
}
stage_hil() {
  build release
  build pi
  /usr/bin/python3 tests/hil/run.py build/release build/pi "${long[@]}"
}

passed=0 failed=0 skipped=()
count() { # STAGE: what ctest or a Python test says of itself
  local junit=build/logs/$1.xml log=build/logs/$1.log number tests=0 bad=0 left=0 name
  if [ -e "$junit" ]; then
    number() { sed -n "s/.*\b$1=\"\([0-9]*\)\".*/\1/p" <<<"$(grep -m 1 -A 12 '<testsuite' "$junit")" | head -n 1; }
    bad=$(number failures)
    left=$(($(number skipped) + $(number disabled)))
    tests=$(($(number tests) - bad - left))
    while read -r name; do skipped+=("$1: $name"); done \
      < <(grep -E 'status="(notrun|disabled)"' "$junit" | sed 's/.*<testcase name="\([^"]*\)".*/\1/')
  elif number=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1) && [ -n "$number" ]; then
    read -r tests _ bad _ <<<"$number"
    while read -r name; do skipped+=("$1: $name"); done < <(sed -n 's/^skipped: //p' "$log")
  fi
  passed=$((passed + tests)) failed=$((failed + bad))
}

close() { # EXIT-CODE
  if [ ${#skipped[@]} -gt 0 ]; then printf 'skipped: %s\n' "${skipped[@]}"; fi
  echo "$passed passed, $failed failed"
  exit "$1"
}

mkdir -p build/logs
rm -f build/logs/*.xml
echo "Setting up ..."
set_up
number=0
for stage in "${stages[@]}"; do
  number=$((number + 1)) started=$SECONDS before=$passed
  printf '[%d/%d] %s ...' "$number" "${#stages[@]}" "$stage"
  set +e # `set -e` means nothing inside a command whose status is asked for by `if` or `||`
  (set -e; "stage_$stage") >"build/logs/$stage.log" 2>&1
  code=$?
  set -e
  count "$stage"
  if [ "$code" -ne 0 ]; then
    printf ' FAILED after %d s\n\n' $((SECONDS - started))
    tail -n 40 "build/logs/$stage.log"
    printf '\nStage %s has failed; its whole log: build/logs/%s.log\n' "$stage" "$stage"
    [ "$failed" -gt 0 ] || failed=1
    close 1
  fi
  if [ "$passed" -gt "$before" ]; then
    printf ' %d passed in %d s\n' $((passed - before)) $((SECONDS - started))
  else
    printf ' clean in %d s\n' $((SECONDS - started)) # format and tidy look at sources, and count no tests
  fi
done
close 0
