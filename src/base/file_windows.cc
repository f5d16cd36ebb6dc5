#include "base/file.h"

#include <fcntl.h>
#include <io.h>
#include <share.h>
#include <sys/stat.h>

#include <fstream>

namespace hairpin {

namespace fs = std::filesystem;

Result<> replace_file(const std::string& path, std::string_view bytes) {
  std::error_code ignored;  // writing says it better
  fs::create_directories(fs::path(path).parent_path(), ignored);
  const std::string fresh = path + ".new";
  {
    errno = 0;
    std::ofstream file(fs::path(fresh), std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.flush();
    if (!file) {
      Error failed = last_error("write " + fresh);
      file.close();
      remove_file(fresh);
      return failed;
    }
  }
  return rename_file(fresh, path);
}

Result<> rename_file(const std::string& from, const std::string& to) {
  std::error_code failed;
  fs::rename(fs::path(from), fs::path(to), failed);
  if (failed) return Error{"rename " + from, failed.default_error_condition().value()};
  return {};
}

void remove_file(const std::string& path) {
  std::error_code ignored;
  fs::remove(fs::path(path), ignored);
}

std::optional<Stamp> stamp_of(const std::string& path) {
  std::error_code failed;
  const auto changed = fs::last_write_time(fs::path(path), failed);
  if (failed) return std::nullopt;
  const auto size = fs::file_size(fs::path(path), failed);
  if (failed) return std::nullopt;
  return Stamp{changed, size, 0};
}

Result<AppendedFile> AppendedFile::open(const std::string& path) {
  const int file =
      ::_wopen(fs::path(path).c_str(), _O_WRONLY | _O_APPEND | _O_BINARY | _O_NOINHERIT);
  if (file < 0) return last_error("open " + path);
  return AppendedFile(file);
}

AppendedFile::~AppendedFile() {
  if (file_ >= 0) ::_close(file_);
}

Result<> AppendedFile::append(std::string_view bytes) {
  if (::_write(file_, bytes.data(), static_cast<unsigned>(bytes.size())) < 0) {
    return last_error("write");
  }
  return {};
}

Result<HeldFile> HeldFile::hold(const std::string& path, std::string_view) {
  std::FILE* file = ::_wfsopen(fs::path(path).c_str(), L"rbN", _SH_DENYWR);
  if (file == nullptr) return last_error("open " + path);
  return HeldFile(file, path);
}

HeldFile::~HeldFile() {
  if (file_ != nullptr) std::fclose(file_);
}

}  // namespace hairpin
