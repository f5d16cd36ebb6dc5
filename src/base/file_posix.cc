#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/fd.h"

namespace hairpin {

namespace {

Result<> write_all(const std::string& path, std::string_view bytes) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return last_error("open " + path);
  while (!bytes.empty()) {
    const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
    if (count < 0) return last_error("write " + path);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

}  // namespace

Result<> replace_file(const std::string& path, std::string_view bytes) {
  std::error_code ignored;  // writing says it better
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const std::string fresh = path + ".new";
  if (auto written = write_all(fresh, bytes); !written) {
    remove_file(fresh);
    return written;
  }
  return rename_file(fresh, path);
}

Result<> rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return last_error("rename " + from);
  return {};
}

void remove_file(const std::string& path) {
  ::unlink(path.c_str());
}

std::optional<Stamp> stamp_of(const std::string& path) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return std::nullopt;
  std::error_code failed;
  const auto changed = std::filesystem::last_write_time(path, failed);
  if (failed) return std::nullopt;
  return Stamp{changed, static_cast<std::uintmax_t>(file.st_size), file.st_ino};
}

Result<AppendedFile> AppendedFile::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (file < 0) return last_error("open " + path);
  return AppendedFile(file);
}

AppendedFile::~AppendedFile() {
  if (file_ >= 0) ::close(file_);
}

Result<> AppendedFile::append(std::string_view bytes) {
  if (::write(file_, bytes.data(), bytes.size()) < 0) return last_error("write");
  return {};
}

Result<HeldFile> HeldFile::hold(const std::string&, std::string_view bytes) {
  HeldFile copy(std::tmpfile(), "");
  if (copy.file_ == nullptr) return last_error("make a temporary file");
  if (std::fwrite(bytes.data(), 1, bytes.size(), copy.file_) != bytes.size() ||
      std::fflush(copy.file_) != 0) {
    return last_error("write to a temporary file");
  }
  copy.name_ = "/dev/fd/" + std::to_string(::fileno(copy.file_));
  return copy;
}

HeldFile::~HeldFile() {
  if (file_ != nullptr) std::fclose(file_);
}

}  // namespace hairpin
