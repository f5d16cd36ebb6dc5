// Errors are values. A fallible call returns Result<T>; the Error inside says which call failed,
// on what, and with which errno, so that the sentence a person reads can be made from it alone.
#pragma once

#include <boost/system/result.hpp>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace hairpin {

/// The system's words for an errno value: "Connection refused".
std::string errno_text(int code);

/// One failed operation. `code` is an errno value; 0 means that the failure is not the kernel's
/// (a peer broke its protocol, a limit of ours was reached) and `what` tells all there is.
struct [[nodiscard]] Error {
  Error() = default;
  explicit Error(std::string call, int errno_value = 0)
      : what(std::move(call)), code(errno_value) {}

  std::string what;  ///< The call and its object: "TUNSETIFF tun0", "connect 192.0.2.1:1080".
  int code = 0;
  /// Of a connection through an outbound: its way itself has failed, whatever the destination.
  bool of_the_way = false;

  std::string text() const {
    if (code == 0) return what;
    return what + ": " + errno_text(code);
  }

  Error on_the_way() && {
    of_the_way = true;
    return std::move(*this);
  }

  /// Puts the object or the purpose before what is known so far.
  Error in(std::string_view context) && {
    what.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }
};

/// Takes errno at once: call it directly after the failing syscall.
inline Error last_error(std::string what) {
  const int code = errno;  // before anything in here can touch it
  return Error{std::move(what), code};
}

[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location&) {
  throw std::system_error(error.code, std::generic_category(), error.what);
}

template <class T = void>
using Result = boost::system::result<T, Error>;

}  // namespace hairpin
