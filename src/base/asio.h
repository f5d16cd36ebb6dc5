// The few names of Boost.Asio that this project uses. Concrete executor types throughout: each
// worker is one thread with one io_context, and nothing needs the type-erased any_io_executor.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

// Where a system has two kinds of threads, Asio takes the one it has heard of, file by file; but an
// io_context that one file made and another ends must have the same in both. See
// platform/prelude_windows.h.
#ifndef BOOST_ASIO_HAS_PTHREADS
#error "Asio would have another kind of thread in this file than in others"
#endif

namespace hairpin {

namespace asio = boost::asio;

using Executor = asio::io_context::executor_type;

template <class T = void>
using Task = asio::awaitable<T, Executor>;

/// Completion token: the error code is part of the result, nothing is thrown.
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<Executor>> kAsTuple{};

using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

}  // namespace hairpin
