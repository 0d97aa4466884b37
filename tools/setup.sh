#!/usr/bin/env bash
# Installs the packages that are missing, and says which. Works as root and with sudo. Knows Debian 12, Debian 13 and
# Ubuntu 24.04; `make distros` tries it in Debian 12 and 13.
# Usage: tools/setup.sh build|tests|ui|package|vulkan|devices
#   ui: a browser, for `make test-ui`; vulkan: what the engine's Vulkan variant is built with; devices: a device for its
#   tests, which is this processor (Mesa's lavapipe)
set -euo pipefail

build_packages=(clang-19 lld-19 cmake ninja-build ccache gcc g++ git npm python3 python3-pip nlohmann-json3-dev
  libtomlplusplus-dev libcli11-dev libspdlog-dev libfmt-dev libexpected-dev prometheus-cpp-dev libcurl4-openssl-dev
  libssl-dev zlib1g-dev libzstd-dev libseccomp-dev libxxhash-dev libhowardhinnant-date-dev libyaml-cpp-dev tzdata)
test_packages=(libgtest-dev libbenchmark-dev clang-format-19 clang-tidy-19 libclang-rt-19-dev llvm-19 python3-venv curl
  openssl zsh fish mandoc)

say() { printf '==> %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

command -v dpkg-query >/dev/null ||
  die "this set-up knows Debian 12, Debian 13 and Ubuntu 24.04 only. Install the counterparts of: ${build_packages[*]} libboost-dev"

wanted=("${build_packages[@]}")
[ "${1:-build}" = tests ] && wanted+=("${test_packages[@]}")
[ "${1:-build}" = ui ] && wanted+=(chromium)
[ "${1:-build}" = package ] && wanted+=(dpkg-dev)
[[ "${1:-build}" = vulkan || "${1:-build}" = devices ]] && wanted+=(libvulkan1)
[ "${1:-build}" = devices ] && wanted+=(mesa-vulkan-drivers)
system=$(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}")
# For the tests of the page. Ubuntu's package is a snap, which no test can drive.
[[ "${1:-build} $system" != "tests debian "* ]] || wanted+=(chromium)
# For the Go clients of the end-to-end tests. Debian 12's Go (1.19) is too old for these, and they are skipped there.
[ "${1:-build}" = tests ] && [ "$system" != "debian 12" ] && wanted+=(golang-go)
# Debian 12's are too old, and tools/vulkan_tools.sh fetches newer ones.
[ "${1:-build}" = vulkan ] && [ "$system" != "debian 12" ] && wanted+=(glslc libvulkan-dev spirv-headers)
case $system in
  "debian 12")
    # Boost 1.81 and the default, 1.74, exclude each other there. The version that a user has stays; both work.
    installed libboost1.74-dev || wanted+=(libboost1.81-dev)
    ;;
  "debian 13" | "ubuntu 24.04") wanted+=(libboost-dev) ;;
  *)
    wanted+=(libboost-dev)
    unknown_system="this set-up knows Debian 12, Debian 13 and Ubuntu 24.04; here it asks for packages by their names there"
    ;;
esac

missing=()
for package in "${wanted[@]}"; do
  case $package in
    # These may also be installed without Debian's packages.
    npm | python3 | python3-pip | cmake | git) command -v "${package/python3-pip/pip3}" >/dev/null && continue ;;
    golang-go) command -v go >/dev/null && continue ;;
  esac
  installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
[ -z "${unknown_system:-}" ] || say "$unknown_system"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || die "missing packages: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
say "installing ${#missing[@]} missing packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq || die "apt-get update failed: check the network, then run this again"
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
  die "apt-get could not install them: see its message above"
say "installed"
