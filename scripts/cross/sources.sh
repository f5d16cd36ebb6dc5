# shellcheck shell=sh
# Debian's source packages, for what is built for another system. To be sourced, with `sources` set to the folder that
# keeps them. apt fetches them from where this machine has its packages, and checks each file against Debian's signed
# index; apt's own lists and settings are not touched.
#
#   sources_unpack PACKAGE           into $sources/PACKAGE, with Debian's patches
#   sources_unpack PACKAGE PATH...   only these paths of the original, for packages that are large; without patches

sources_apt() { sources_run apt-get -q "$@"; }
sources_apt_cache() { sources_run apt-cache "$@"; }
sources_run() {
  sources_tool=$1; shift
  "$sources_tool" -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$sources/apt/parts" \
    -o "Dir::State::lists=$sources/apt/lists" -o "Dir::Cache=$sources/apt" -o APT::Sandbox::User=root "$@"
}

# The source packages of each archive of Debian's whose binary packages this machine takes.
sources_index() {
  [ ! -e "$sources/apt/ready" ] || return 0
  mkdir -p "$sources/apt/parts" "$sources/apt/lists/partial"
  # shellcheck disable=SC2016  # names of apt's
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk '$1 == "Debian" { print "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $2, $3, $4 }' |
    sort -u >"$sources/apt/parts/debian.list"
  [ -s "$sources/apt/parts/debian.list" ] || {
    echo "sources: apt knows no archive of Debian's: run apt-get update first" >&2
    return 1
  }
  sources_apt update >"$sources/apt/log" 2>&1 || { cat "$sources/apt/log" >&2; return 1; }
  touch "$sources/apt/ready"
}

# The newest version that can be had: mirrors do not always hold what their indexes name.
sources_download() {
  : >"$sources_files/log"
  for sources_choice in $(sources_apt_cache showsrc --only-source "$sources_package" |
    sed -n 's/^Version: /=/p' | sort -Vru) $(sed 's|.*/* \([^ ]*\) [^ ]*$|/\1|' "$sources/apt/parts/debian.list"); do
    (cd "$sources_files" && rm -f ./*.dsc ./*.tar.* &&
      sources_apt source --download-only "$sources_package$sources_choice" >>log 2>&1) && return 0
  done
  return 1
}

sources_unpack() {
  sources_package=$1; shift
  [ ! -e "$sources/$sources_package" ] || return 0
  sources_index || return 1
  echo "== fetching: $sources_package" >&2
  sources_files=$sources/fetched/$sources_package
  mkdir -p "$sources_files"
  sources_download || {
    cat "$sources_files/log" >&2
    echo "sources: no version of $sources_package can be fetched; a folder $sources/$sources_package is taken as it is" >&2
    return 1
  }
  rm -rf "$sources/$sources_package.new"
  if [ $# -eq 0 ]; then
    # apt has checked all that the .dsc names.
    dpkg-source --no-check --no-copy -x "$sources_files"/*.dsc "$sources/$sources_package.new" >>"$sources_files/log" 2>&1 || {
      cat "$sources_files/log" >&2
      return 1
    }
  else
    mkdir "$sources/$sources_package.new"
    for sources_path in "$@"; do
      shift
      set -- "$@" "*/$sources_path"
    done
    tar -C "$sources/$sources_package.new" --strip-components=1 --wildcards --no-wildcards-match-slash \
      -xf "$(find "$sources_files" -name '*.orig.tar.*' ! -name '*.asc')" "$@" || return 1
  fi
  mv "$sources/$sources_package.new" "$sources/$sources_package"
}
