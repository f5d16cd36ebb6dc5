// `Descriptor`: any non-blocking descriptor (socket, TUN queue) that can be waited for. Asio only
// waits; reads and writes are the system calls of this folder, so that each error keeps its name
// and errno. `Wait` has what can be waited for: wait_read, wait_write, wait_error.
//
// Each system has a type of its own of the same shape: async_wait, assign, release, close, cancel,
// is_open, native_handle. Beside it stands
//
//   bool is_broken(Descriptor&)    after a wait for an error: whether the connection has been reset
#pragma once

#ifdef _WIN32
#include "platform/descriptor_windows.h"
#else
#include "platform/descriptor_posix.h"
#endif
