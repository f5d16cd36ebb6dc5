// What lwIP asks of a compiler and a system (lwIP's doc/sys_arch.txt), for any of ours.
#pragma once

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Tells what lwIP has found to be impossible, and ends the program: going on would be worse.
void hairpin_lwip_failed(const char* what, const char* file, int line);

#ifdef __cplusplus
}
#endif

#define LWIP_PLATFORM_ASSERT(what) hairpin_lwip_failed(what, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(message) \
  do {                              \
  } while (0)

// The C library may have them.
#ifndef BYTE_ORDER
#define LITTLE_ENDIAN __ORDER_LITTLE_ENDIAN__
#define BIG_ENDIAN __ORDER_BIG_ENDIAN__
#define BYTE_ORDER __BYTE_ORDER__
#endif
