// Included before everything else, by the compiler's command line. Windows' headers want to be
// included in an order of their own, and define ordinary words as macros.
#pragma once

// Asio takes POSIX threads (mingw-w64 has them, too) in a file that has included <pthread.h>
// before, and Windows' in any other: then the thread of an io_context is made as one and ended as
// the other, and handles are closed that are no one's to close
// (https://github.com/chriskohlhoff/asio/pull/1207).
#define BOOST_ASIO_HAS_PTHREADS 1

#include <cerrno>

#include <windows.h>
#include <winsock2.h>
#include <ws2tcpip.h>
// After winsock2.h:
#include <iphlpapi.h>
#include <mstcpip.h>
#include <mswsock.h>
#include <winternl.h>

#undef far
#undef near
#undef interface
#undef small
#undef FAR
#undef NEAR
#define FAR
#define NEAR
#undef ERROR
#undef DELETE
#undef IN
#undef OUT

// Its C library has no number for it.
#ifndef EHOSTDOWN
#define EHOSTDOWN WSAEHOSTDOWN
#endif
