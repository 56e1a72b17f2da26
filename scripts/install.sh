#!/bin/sh
# Installs the newest Arona for this machine: downloads it, checks its SHA-256, and puts it into a folder of yours.
#
#     curl -fsSL https://github.com/OWNER/arona/releases/latest/download/install.sh | sh
#
# The copy in a release knows whose it is (.github/workflows/release.yml fills in the repository); this one has to be told.
#
# ARONA_REPOSITORY     OWNER/NAME on GitHub
# ARONA_INSTALL_DIR    where it goes (default: ~/.local/bin)
# ARONA_RELEASE        which release (default: the newest), for example v0.1.0
# ARONA_DOWNLOAD_URL   a folder with the files, instead of the release
set -eu

fail() {
  echo "arona: Cannot install: $1" >&2
  exit 1
}

repository="${ARONA_REPOSITORY:-@repository@}"

main() {
  releases="https://github.com/$repository/releases"
  if [ -n "${ARONA_DOWNLOAD_URL:-}" ]; then
    base="${ARONA_DOWNLOAD_URL%/}"
  elif [ "${repository#@}" != "$repository" ]; then
    fail "this copy does not know where the releases are. Set ARONA_REPOSITORY=OWNER/NAME."
  elif [ -n "${ARONA_RELEASE:-}" ]; then
    base="$releases/download/$ARONA_RELEASE"
  else
    base="$releases/latest/download"
  fi

  file="arona-$(uname -s)-$(uname -m)"
  case "$file" in
    arona-Linux-x86_64 | arona-Linux-aarch64 | arona-Darwin-x86_64 | arona-Darwin-arm64) ;;
    arona-Linux-arm64) file=arona-Linux-aarch64 ;;
    *) fail "there is no executable for $(uname -s) on $(uname -m). From source it may run: see the README." ;;
  esac

  folder="${ARONA_INSTALL_DIR:-${HOME:?}/.local/bin}"
  mkdir -p "$folder" || fail "$folder cannot be made. Name another folder in ARONA_INSTALL_DIR."
  work=$(mktemp -d "$folder/.arona-install.XXXXXX") || fail "$folder cannot be written. Name another folder in ARONA_INSTALL_DIR."
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM

  download "$base/$file" "$work/$file"
  download "$base/SHA256SUMS" "$work/SHA256SUMS"
  # The file's own line alone: the others are not here.
  (cd "$work" && grep " [ *]\{0,1\}$file\$" SHA256SUMS > wanted) || fail "SHA256SUMS does not list $file"
  if command -v sha256sum > /dev/null; then
    (cd "$work" && sha256sum -c wanted > /dev/null 2>&1) || fail "$file is damaged: its SHA-256 is not the published one. Try again."
  elif command -v shasum > /dev/null; then
    (cd "$work" && shasum -a 256 -c wanted > /dev/null 2>&1) || fail "$file is damaged: its SHA-256 is not the published one. Try again."
  else
    fail "neither sha256sum nor shasum is here to check the download"
  fi

  chmod 755 "$work/$file"
  "$work/$file" version > /dev/null || fail "$file does not run on this machine"
  mv "$work/$file" "$folder/arona"
  echo "Installed $("$folder/arona" version) as $folder/arona"
  case ":$PATH:" in
    *":$folder:"*) echo "Begin with: arona connect LINK, or arona serve" ;;
    *) echo "Add $folder to your PATH, then begin with: arona connect LINK, or arona serve" ;;
  esac
}

download() {
  if command -v curl > /dev/null; then
    curl -fsSL --retry 3 -o "$2" "$1" || fail "$1 cannot be downloaded"
  elif command -v wget > /dev/null; then
    wget -q -O "$2" "$1" || fail "$1 cannot be downloaded"
  else
    fail "neither curl nor wget is here"
  fi
}

# A download of this script that was cut off must not run its first half.
main
