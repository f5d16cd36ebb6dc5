# shellcheck shell=sh
# hairpin's libraries, built from Debian's source packages for another system: each once, as a step. To be sourced behind
# sources.sh, by a script that has set
#
#   name                      of the target, for what is said
#   work                      the folder of all that is made for it, with its toolchain.cmake
#   prefix                    where what is installed will be
#   destdir                   what stands before it here; may be empty
#   build_type jobs           CMake's; how many compilers run
#   cc cxx ar ranlib          commands
#   flags_c flags_cxx         their options
# shellcheck disable=SC2086,SC2154  # lists of options; what the caller has set

# step NAME COMMAND...: what has been done once is not done again; a recipe that changes takes another NAME.
step() {
  step_name=$1; shift
  [ ! -e "$work/done/$step_name" ] || return 0
  step_start=$(date +%s)
  mkdir -p "$work/done" "$work/build"
  rm -rf "$work/build/$step_name"
  mkdir "$work/build/$step_name"
  set +e # the shell forgets -e in what it asks the outcome of
  (set -e; cd "$work/build/$step_name"; "$@") >"$work/build/$step_name.log" 2>&1
  step_status=$?
  set -e
  if [ "$step_status" -ne 0 ]; then
    tail -n 40 "$work/build/$step_name.log" >&2
    echo "scripts/cross: $step_name failed; all it said: $work/build/$step_name.log" >&2
    exit 1
  fi
  touch "$work/done/$step_name"
  echo "== $name: $step_name, $(($(date +%s) - step_start)) s"
  rm -rf "$work/build/$step_name"
}

cmake_build() { # SOURCE [OPTION...]
  cmake_source=$1; shift
  cmake -S "$cmake_source" -B . -G Ninja -Wno-dev -DCMAKE_TOOLCHAIN_FILE="$work/toolchain.cmake" \
    -DCMAKE_BUILD_TYPE="$build_type" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF \
    -DBUILD_TESTING=OFF "$@"
  cmake --build . -j "$jobs"
  DESTDIR=$destdir cmake --install .
}

autotools() { # SOURCE HOST [OPTION...]
  autotools_source=$1 autotools_host=$2; shift 2
  "$autotools_source/configure" --host="$autotools_host" --prefix="$prefix" --disable-shared --enable-static \
    CC="$cc" AR="$ar" RANLIB="$ranlib" CFLAGS="$flags_c" "$@"
  make -j "$jobs"
  make install DESTDIR="$destdir"
  find "$destdir$prefix/lib" -name '*.la' -delete
}

library_boost() {
  mkdir -p "$destdir$prefix/include" "$destdir$prefix/lib"
  ln -sfn /usr/include/boost "$destdir$prefix/include/boost"
  for boost_source in "$sources"/boost1.81/libs/program_options/src/*.cpp; do
    $cxx $flags_cxx -DNDEBUG -I"$destdir$prefix/include" -c "$boost_source"
  done
  $ar rcs "$destdir$prefix/lib/libboost_program_options.a" ./*.o
}

# Only what TLS of today, and certificates, need.
library_openssl() { # FOLDER TARGET [OPTION...]: where certificates are looked for; OpenSSL's name for the system
  openssl_folder=$1 openssl_target=$2; shift 2
  "$sources/openssl/Configure" "$openssl_target" CC="$cc" AR="$ar" RANLIB="$ranlib" $flags_c --prefix="$prefix" \
    --libdir=lib --openssldir="$openssl_folder" "$@" \
    no-shared no-tests no-module no-engine no-dso no-legacy no-autoload-config no-deprecated no-ssl3 no-tls1 no-tls1_1 \
    no-dtls no-comp no-cms no-ts no-ct no-ocsp no-srp no-psk no-srtp no-cmp no-rfc3779 no-nextprotoneg no-gost no-idea \
    no-seed no-camellia no-aria no-sm2 no-sm3 no-sm4 no-mdc2 no-rmd160 no-whirlpool no-md4 no-bf no-cast no-rc2 no-rc4 \
    no-des no-blake2 no-scrypt no-ec2m no-dsa no-ui-console no-async no-siv no-ocb no-dh no-cmac no-rc5 no-filenames \
    no-multiblock
  make -j "$jobs" build_libs
  make install_dev DESTDIR="$destdir"
}

# What needs OpenSSL is left out.
ldns_without="--without-ssl --disable-sha2 --disable-gost --disable-ecdsa --disable-dsa --disable-ed25519 --disable-ed448
  --disable-dane"
library_ldns() { # HOST
  autotools "$sources/ldns" "$1" $ldns_without
}

library_zlib() {
  CC="$cc" AR="$ar" RANLIB="$ranlib" CFLAGS="$flags_c" "$sources/zlib/configure" --prefix="$prefix" --static
  make -j "$jobs" libz.a
  make install DESTDIR="$destdir"
}

library_nghttp2() { # [OPTION...]
  cmake_build "$sources/nghttp2" -DENABLE_LIB_ONLY=ON -DENABLE_STATIC_LIB=ON -DENABLE_SHARED_LIB=OFF "$@"
}

# Debian leaves out tables that are made from Unicode's own; its makefile makes them.
library_re2() {
  cp -r "$sources/re2/." .
  for re2_what in obj/libre2.a static-install; do
    make -j "$jobs" "$re2_what" prefix="$prefix" DESTDIR="$destdir" REBUILD_TABLES=1 AR="$ar" RANLIB="$ranlib" \
      CXX="$cxx" CXXFLAGS="$flags_cxx -DNDEBUG"
  done
}

library_fetch() {
  for library_package in openssl ldns nghttp2 re2 libmaxminddb fmtlib spdlog nlohmann-json3 googletest; do
    sources_unpack "$library_package"
  done
  sources_unpack boost1.81 libs/program_options/src
}

# What is built alike for all.
library_others() {
  step boost library_boost
  step re2 library_re2
  step libmaxminddb cmake_build "$sources/libmaxminddb" -DMAXMINDDB_BUILD_BINARIES=OFF
  step fmt cmake_build "$sources/fmtlib" -DFMT_TEST=OFF -DFMT_DOC=OFF
  step spdlog cmake_build "$sources/spdlog" -DSPDLOG_FMT_EXTERNAL=ON -DSPDLOG_BUILD_EXAMPLE=OFF
  step json cmake_build "$sources/nlohmann-json3" -DJSON_BuildTests=OFF
  step googletest cmake_build "$sources/googletest" -DBUILD_GMOCK=OFF
}
