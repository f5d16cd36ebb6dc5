#include "platform/parameters.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "base/fd.h"

namespace hairpin::platform {

namespace {

std::string path_of(const std::string& name) {
  std::string path = name;
  for (char& letter : path) {
    if (letter == '.') {
      letter = '/';
    } else if (letter == '/') {
      letter = '.';
    }
  }
  return "/proc/sys/" + path;
}

}  // namespace

Result<std::string> read_parameter(const std::string& name) {
  const std::string path = path_of(name);
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 256> text{};
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : -1;
  if (size < 0) return last_error("read " + path);
  std::string value(text.data(), static_cast<std::size_t>(size));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return Result<std::string>(boost::system::in_place_value, std::move(value));
}

Result<> write_parameter(const std::string& name, const std::string& value) {
  const std::string path = path_of(name);
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), value.data(), value.size()) < 0) {
    return last_error("write " + value + " to " + path);
  }
  return {};
}

}  // namespace hairpin::platform
