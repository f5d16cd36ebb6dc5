# lwIP, the TCP of the userspace stack, from its own source, built with our options (src/tcp/port) as target
# `lwip`. Debian's package of it is a library with threads and small windows, but has the source:
#
#   HAIRPIN_LWIP_SOURCE_DIR   where it is already
#   Debian                    its source package, below build/
#   elsewhere                 its repository
set(HAIRPIN_LWIP_SOURCE_DIR "" CACHE PATH "lwIP's source, 2.1.3 or later; empty: it is fetched")
set(lwip_dir "${HAIRPIN_LWIP_SOURCE_DIR}")
find_program(APT_GET apt-get NO_CMAKE_FIND_ROOT_PATH)
if(lwip_dir STREQUAL "" AND APT_GET)
  set(lwip_dir ${PROJECT_SOURCE_DIR}/build/sources/lwip)
  execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/debian-source lwip ${lwip_dir} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "lwIP's source could not be fetched; set HAIRPIN_LWIP_SOURCE_DIR to a folder that has it")
  endif()
elseif(lwip_dir STREQUAL "")
  include(FetchContent)
  FetchContent_Declare(lwip GIT_REPOSITORY https://git.savannah.nongnu.org/git/lwip.git GIT_TAG STABLE-2_1_3_RELEASE)
  FetchContent_Populate(lwip)
  set(lwip_dir ${lwip_SOURCE_DIR})
endif()
if(NOT EXISTS ${lwip_dir}/src/core/tcp.c)
  message(FATAL_ERROR "${lwip_dir} does not hold lwIP's source (src/core/tcp.c is missing)")
endif()

set(core ${lwip_dir}/src/core)
add_library(lwip STATIC
  ${core}/def.c ${core}/inet_chksum.c ${core}/init.c ${core}/ip.c ${core}/mem.c ${core}/memp.c ${core}/netif.c
  ${core}/pbuf.c ${core}/tcp.c ${core}/tcp_in.c ${core}/tcp_out.c ${core}/timeouts.c
  ${core}/ipv4/ip4.c ${core}/ipv4/ip4_addr.c
  ${core}/ipv6/icmp6.c ${core}/ipv6/inet6.c ${core}/ipv6/ip6.c ${core}/ipv6/ip6_addr.c
  ${core}/ipv6/nd6.c)
target_include_directories(lwip SYSTEM PUBLIC ${lwip_dir}/src/include ${PROJECT_SOURCE_DIR}/src/tcp/port)
# Its memory and its threads are looked at as ours are.
if(HAIRPIN_SANITIZE MATCHES "address|thread")
  target_compile_options(lwip PRIVATE -fsanitize=${CMAKE_MATCH_0} -fno-omit-frame-pointer)
endif()
