#!/usr/bin/env bash
# Finds what ggml's Vulkan backend is built with: a compiler of shaders (glslc), Vulkan's headers and the SPIR-V headers.
#
# Debian 13 and Ubuntu 24.04 have new ones in their own packages. Those of Debian 12 are too old: its glslc knows no
# cooperative matrices, and its headers lack VK_EXT_layer_settings. So on Debian 12 the packages of Debian 13 are fetched,
# by apt and with its signatures checked, and unpacked beside; nothing of them is installed. glslc runs there with the
# loader and the libraries that came with it.
#
#   $MINERVA_CACHE/vulkan-tools-<key>/   the unpacked packages, and bin/glslc, which runs theirs
#
# Prints CMake's arguments, one a line. Environment: MINERVA_CACHE.
# Usage: tools/vulkan_tools.sh
set -euo pipefail

readonly release=trixie
readonly packages=(glslc libvulkan-dev spirv-headers)
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cache=${MINERVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/minerva}

die() { printf 'vulkan_tools: %s\n' "$*" >&2; exit 1; }

# The loader of Vulkan that engines are linked with, and find when they run.
library=$(ldconfig -p | sed -n 's/.*libvulkan\.so\.1 .*=> //p' | head -n 1)
[ -n "$library" ] || die "libvulkan.so.1 is missing. On Debian: apt-get install libvulkan1"

# What is new enough has this in its headers, and a glslc that compiles cooperative matrices.
is_new() { # INCLUDE_FOLDER GLSLC
  grep -q VK_EXT_layer_settings "$1/vulkan/vulkan_core.h" 2>/dev/null &&
    printf '#version 450\n#extension GL_KHR_cooperative_matrix : require\nvoid main() {}\n' |
      "$2" -x glsl -fshader-stage=compute --target-env=vulkan1.3 -o /dev/null - 2>/dev/null
}

if is_new /usr/include glslc && compgen -G '/usr/*/cmake/SPIRV-Headers*' >/dev/null; then
  printf '%s\n' "-DVulkan_GLSLC_EXECUTABLE=$(command -v glslc)" -DVulkan_INCLUDE_DIR=/usr/include "-DVulkan_LIBRARY=$library"
  exit 0
fi
. /etc/os-release
[ "${ID:-} ${VERSION_ID:-}" = "debian 12" ] ||
  die "glslc, Vulkan's headers or the SPIR-V headers are missing or too old. On Debian 13 and Ubuntu 24.04: apt-get install ${packages[*]}"

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p)
[ -n "$mirror" ] || die "apt has no source of Debian's packages: see /etc/apt/sources.list"
[ -f "$keyring" ] || die "$keyring is missing: apt-get install debian-archive-keyring"
architecture=$(dpkg --print-architecture)
key=$(printf '%s\n' "$release" "$architecture" "${packages[@]}" "$(sha256sum <"$0")" | sha256sum | cut -c1-16)
tree=$cache/vulkan-tools-$key

fetch() {
  local new
  mkdir -p "$cache"
  new=$(mktemp -d "$cache/vulkan-tools.XXXXXX")
  trap 'rm -rf "$new"' RETURN
  chmod 755 "$new"  # apt fetches as a user of its own
  mkdir -p "$new"/apt/{lists/partial,cache/archives/partial}
  touch "$new/apt/status"
  echo "deb [signed-by=$keyring] $mirror $release main" >"$new/apt/sources.list"
  # A state of apt's of its own, where nothing is installed: the packages come with all that they depend on.
  local apt=(apt-get -qq -o "Dir::Etc::SourceList=$new/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$new/apt/lists" -o "Dir::State::Status=$new/apt/status" -o "Dir::Cache=$new/apt/cache"
    -o APT::Sandbox::User= -o Debug::NoLocking=1)
  "${apt[@]}" update >&2 || die "apt could not read the packages of Debian 13 ($release) at $mirror"
  "${apt[@]}" install --yes --no-install-recommends --download-only "${packages[@]}" >&2 ||
    die "apt could not fetch ${packages[*]} of Debian 13 ($release)"
  for package in "$new"/apt/cache/archives/*.deb; do dpkg-deb -x "$package" "$new"; done
  rm -rf "$new/apt"
  local loader libraries
  loader=$(find "$new/usr/lib" -name 'ld-linux*.so.*' -printf '%P\n' | head -n 1)
  libraries=$(dirname "$(find "$new/usr/lib" -name 'libc.so.6' -printf '%P\n' | head -n 1)")
  [ -n "$loader" ] || die "the packages of Debian 13 have no loader of programs"
  # These headers by themselves: the tree's usr/include has those of its C library too.
  mkdir -p "$new/bin" "$new/include"
  mv "$new"/usr/include/{vulkan,vk_video,spirv} "$new/include/"
  cat >"$new/bin/glslc" <<END
#!/bin/sh
tree=\$(dirname "\$0")/..
exec "\$tree/usr/lib/$loader" --library-path "\$tree/usr/lib/$libraries" "\$tree/usr/bin/glslc" "\$@"
END
  chmod 755 "$new/bin/glslc"
  is_new "$new/include" "$new/bin/glslc" || die "glslc of Debian 13 does not run here"
  touch "$new/.complete"
  mv -T "$new" "$tree"
}

if [ ! -f "$tree/.complete" ]; then
  printf '==> fetching glslc and the Vulkan headers of Debian 13: those of Debian 12 are too old\n' >&2
  fetch
fi
printf '%s\n' "-DVulkan_GLSLC_EXECUTABLE=$tree/bin/glslc" "-DVulkan_INCLUDE_DIR=$tree/include" \
  "-DVulkan_LIBRARY=$library" "-DCMAKE_PREFIX_PATH=$tree/usr"
