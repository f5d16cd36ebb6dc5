// Android's users and packages as what the kernel knows of them: user numbers.
//
// An application's processes run as user × 100000 + its application number, for each user (person,
// or work profile) that has it. The system keeps the numbers in packages.list: a line for each
// package, its name first and the number behind it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/reader.h"

namespace hairpin::config {

inline constexpr const char* kPackagesList = "/data/system/packages.list";
inline constexpr const char* kAndroidUsers = "/data/user";  ///< A folder for each.
inline constexpr std::uint32_t kUidsPerAndroidUser = 100'000;

/// The application number of each package. Lines that are none of it are left out.
std::map<std::string, std::uint32_t, std::less<>> parse_packages(std::string_view list);

/// Adds what `include_android_user`, `include_package` and `exclude_package` mean to `include_uid`
/// and `exclude_uid`. `users` are all there are; `where` is of the inbound. Pure.
void resolve_packages(AutoRoute& route, std::string_view packages_list,
                      const std::vector<std::uint32_t>& users, const std::string& where,
                      Problems& problems);

/// The same for all inbounds that need it, with the lists of this system.
void load_packages(Config& config, Problems& problems);

}  // namespace hairpin::config
