// Which interface leads out.
#include "host/uplink.h"

#include <gtest/gtest.h>

namespace hairpin::host {
namespace {

platform::FoundRoute route(const char* prefix, int device, std::uint32_t metric) {
  platform::FoundRoute made;
  made.destination = *Prefix::parse(prefix);
  made.device = IfIndex{device};
  made.metric = metric;
  return made;
}

const std::vector<platform::FoundInterface> kInterfaces{{IfIndex{2}, "eth0", true},
                                                        {IfIndex{3}, "wlan0", true},
                                                        {IfIndex{4}, "usb0", false},
                                                        {IfIndex{5}, "hp0", true}};

TEST(Uplink, HasTheLowestMetricOfThoseThatWork) {
  const auto choose = [](const std::vector<platform::FoundRoute>& routes) {
    return choose_uplink(routes, kInterfaces, {"hp0"});
  };
  EXPECT_EQ(choose({}), "");
  EXPECT_EQ(choose({route("10.0.0.0/8", 2, 0)}), "") << "no default route";
  EXPECT_EQ(choose({route("0.0.0.0/0", 2, 100), route("0.0.0.0/0", 3, 600)}), "eth0");
  EXPECT_EQ(choose({route("0.0.0.0/0", 2, 600), route("0.0.0.0/0", 3, 100)}), "wlan0");
  EXPECT_EQ(choose({route("0.0.0.0/0", 4, 1), route("0.0.0.0/0", 3, 600)}), "wlan0") << "carrier";
  EXPECT_EQ(choose({route("0.0.0.0/0", 5, 0), route("0.0.0.0/0", 3, 600)}), "wlan0") << "our own";
  EXPECT_EQ(choose({route("0.0.0.0/0", 9, 0)}), "") << "gone";
  EXPECT_EQ(choose({route("::/0", 3, 100), route("0.0.0.0/0", 2, 100)}), "eth0") << "IPv4 decides";
  EXPECT_EQ(choose({route("::/0", 3, 50), route("0.0.0.0/0", 2, 100)}), "wlan0");
}

}  // namespace
}  // namespace hairpin::host
