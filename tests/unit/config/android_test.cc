#include "config/android.h"

#include <gtest/gtest.h>

namespace hairpin::config {
namespace {

constexpr const char* kList =
    "com.android.chrome 10123 0 /data/user/0/com.android.chrome default:targetSdkVersion=33 3003 0 "
    "1 1 @null\n"
    "com.example.app 10200 1 /data/user/0/com.example.app default 3002,3003\n"
    "android 1000 0 /data/system platform:privapp none\n"
    "\n"
    "broken\n"
    "also.broken x 0 /data\n"
    "com.example.last 10201 0 /data/user/0/com.example.last";

AutoRoute resolved(AutoRoute route, Problems* problems = nullptr) {
  Problems own;
  resolve_packages(route, kList, {0, 10}, "inbounds[0]", problems == nullptr ? own : *problems);
  if (problems == nullptr) {
    EXPECT_TRUE(own.empty());
  }
  return route;
}

std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges(const std::vector<UidRange>& from) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
  for (const UidRange& range : from) out.emplace_back(range.first, range.last);
  return out;
}

using Ranges = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

TEST(Android, ReadsTheList) {
  const auto packages = parse_packages(kList);
  EXPECT_EQ(packages.size(), 4U);
  EXPECT_EQ(packages.at("com.android.chrome"), 10123U);
  EXPECT_EQ(packages.at("android"), 1000U);
  EXPECT_EQ(packages.at("com.example.last"), 10201U);
}

TEST(Android, APackageIsThatOfEachUser) {
  AutoRoute route;
  route.include_package = {"com.example.app"};
  route.exclude_package = {"android"};
  const AutoRoute done = resolved(route);
  EXPECT_EQ(ranges(done.include_uid), (Ranges{{10200, 10200}, {1010200, 1010200}}));
  EXPECT_EQ(ranges(done.exclude_uid), (Ranges{{1000, 1000}, {1001000, 1001000}}));
}

TEST(Android, OrOfThoseThatAreNamed) {
  AutoRoute route;
  route.include_android_user = {10};
  route.include_package = {"com.example.app"};
  EXPECT_EQ(ranges(resolved(route).include_uid), (Ranges{{1010200, 1010200}}));
}

TEST(Android, AUserIsAllOfItsPackages) {
  AutoRoute route;
  route.include_android_user = {0, 10};
  route.exclude_package = {"com.android.chrome"};
  const AutoRoute done = resolved(route);
  EXPECT_EQ(ranges(done.include_uid), (Ranges{{0, 99999}, {1000000, 1099999}}));
  EXPECT_EQ(ranges(done.exclude_uid), (Ranges{{10123, 10123}, {1010123, 1010123}}));
}

TEST(Android, BesidesWhatIsThere) {
  AutoRoute route;
  route.include_uid = {{5, 6}};
  route.include_package = {"com.example.last"};
  EXPECT_EQ(ranges(resolved(route).include_uid),
            (Ranges{{5, 6}, {10201, 10201}, {1010201, 1010201}}));
}

TEST(Android, UnknownPackagesAreErrors) {
  AutoRoute route;
  route.include_package = {"com.example.app", "com.example.none"};
  Problems problems;
  resolved(route, &problems);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].where, "inbounds[0].include_package[1]");
  EXPECT_NE(problems[0].message.find("com.example.none"), std::string::npos);
}

}  // namespace
}  // namespace hairpin::config
