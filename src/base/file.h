// Files: replaced whole, written at their end, looked at for a change.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace hairpin {

/// Puts a file with `bytes` in the place of `path`: at any time, also when this program is killed
/// in the middle, there is the old one or the new one. It is written beside it, as "PATH.new", and
/// renamed. Its folder is made if need be. It does not wait for the disk (fsync(2)): after a power
/// cut some file systems have an empty file.
Result<> replace_file(const std::string& path, std::string_view bytes);

/// Puts a file in the place of another one.
Result<> rename_file(const std::string& from, const std::string& to);
/// Removes it, if it is there.
void remove_file(const std::string& path);

/// Tells one state of a file from another: when its content changes, so does one of these.
struct Stamp {
  std::filesystem::file_time_type changed;
  std::uintmax_t size = 0;  ///< Bytes.
  std::uint64_t inode = 0;  ///< A file may be put in place of another. 0 on Windows.

  friend bool operator==(const Stamp&, const Stamp&) = default;
};
/// Empty: there is none.
std::optional<Stamp> stamp_of(const std::string& path);

/// A file that is there, and that bytes are added to. Nobody who is started by this process has it.
class AppendedFile {
 public:
  static Result<AppendedFile> open(const std::string& path);
  AppendedFile(AppendedFile&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  AppendedFile& operator=(AppendedFile&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~AppendedFile();

  Result<> append(std::string_view bytes);

 private:
  explicit AppendedFile(int file) : file_(file) {}
  int file_;
};

/// A file's bytes, under a name by which a library can map them. A file that is written anew while
/// it is mapped would end this process; this one does not change as long as it is held.
class HeldFile {
 public:
  /// `bytes`: what has been read of `path`. Elsewhere than on Windows it is a copy of them that has
  /// no other name; there it is the file itself, which nobody can write to meanwhile.
  static Result<HeldFile> hold(const std::string& path, std::string_view bytes);
  HeldFile(HeldFile&& other) noexcept
      : file_(std::exchange(other.file_, nullptr)), name_(std::move(other.name_)) {}
  HeldFile& operator=(HeldFile&&) = delete;
  ~HeldFile();

  const std::string& name() const { return name_; }

 private:
  HeldFile(std::FILE* file, std::string name) : file_(file), name_(std::move(name)) {}
  std::FILE* file_;
  std::string name_;
};

}  // namespace hairpin
