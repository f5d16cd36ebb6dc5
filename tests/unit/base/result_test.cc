#include "base/result.h"

#include <gtest/gtest.h>

namespace hairpin {
namespace {

TEST(Error, SaysWhatFailedAndWhy) {
  EXPECT_EQ((Error{"connect 192.0.2.1:1080", ECONNREFUSED}.text()),
            "connect 192.0.2.1:1080: Connection refused");
  EXPECT_EQ((Error{"write", EPIPE}.text()), "write: Broken pipe");
  EXPECT_EQ((Error{"open a.json", ENOENT}.text()), "open a.json: No such file or directory");
  EXPECT_EQ(Error{"no HTTP response"}.text(), "no HTTP response");
  EXPECT_EQ((Error{"bind", EACCES}.in("link tun0").text()), "link tun0: bind: Permission denied");
}

}  // namespace
}  // namespace hairpin
