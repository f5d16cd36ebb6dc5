#pragma once

#include <utility>

namespace hairpin {

/// close(2); closesocket on Windows, where sockets are the only descriptors there are here. Their
/// handles fit an int: "64-bit versions of Windows use 32-bit handles for interoperability".
void close_descriptor(int fd);

/// Owns one file descriptor; closes it when it goes. Empty is -1.
class [[nodiscard]] Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) close_descriptor(release());
  }

 private:
  int fd_ = -1;
};

}  // namespace hairpin
