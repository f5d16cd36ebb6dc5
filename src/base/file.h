// Files that are replaced whole.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace hairpin {

/// Puts a file with `bytes` in the place of `path`: at any time, also when this program is killed
/// in the middle, there is the old one or the new one. It is written beside it, as "PATH.new", and
/// renamed. Its folder is made if need be. It does not wait for the disk (fsync(2)): after a power
/// cut some file systems have an empty file.
Result<> replace_file(const std::string& path, std::string_view bytes);

}  // namespace hairpin
