#include <gtest/gtest.h>

#include "app/diagnose.h"
#include "app/resolv.h"
#include "support/packets.h"

namespace hairpin::app {
namespace {

struct Row {
  Error error;
  int status;
  const char* cure;
};

TEST(Diagnose, NamesTheCure) {
  for (const Row& row :
       {Row{Error{"open /dev/net/tun", ENOENT}, 69, "modprobe tun"},
        {Error{"open /dev/net/tun", ENODEV}, 69, "--device /dev/net/tun"},
        {Error{"open /dev/net/tun", EACCES}, 77, "run as root"},
        {Error{"TUNSETIFF tun0", EPERM}, 77, "CAP_NET_ADMIN"},
        {Error{"nftables: table inet x", EPERM}, 77, "CAP_NET_ADMIN"},
        {Error{"nftables: table inet x", EOPNOTSUPP}, 69, "nft_tproxy"},
        {Error{"open nfnetlink socket", EPROTONOSUPPORT}, 69, "nf_tables"},
        {Error{"nftables: rule \"tproxy\"", ENOENT}, 69, "nft_tproxy"},
        {Error{"unshare(CLONE_NEWUSER|CLONE_NEWNET)", EPERM}, 77, "user namespaces"},
        {Error{"unshare(CLONE_NEWUSER|CLONE_NEWNET)", EINVAL}, 69, "no network namespaces"},
        {Error{"add address x: IPv6 is disabled here", EACCES}, 69, "IPv6 is disabled"},
        {Error{"interface x", ENODEV}, 1, "interface x"}}) {
    const Diagnosis diagnosis = diagnose(row.error);
    EXPECT_EQ(diagnosis.status, row.status) << row.error.what;
    EXPECT_NE(diagnosis.text.find(row.cure), std::string::npos) << diagnosis.text;
    EXPECT_EQ(diagnosis.text.find('\n'), std::string::npos);
  }
}

TEST(Resolv, NameServers) {
  const std::string text =
      "# comment\nsearch example.com\nnameserver 127.0.0.53\n nameserver "
      "9.9.9.9\nnameserver\t192.0.2.53 # x\n"
      "nameserver fe80::1%eth0\nnameservers 1.2.3.4\nnameserver nonsense\noptions edns0";
  const auto servers = name_servers(text);
  ASSERT_EQ(servers.size(), 3U);
  EXPECT_EQ(servers[1], test::ip("192.0.2.53"));
  EXPECT_FALSE(all_loopback(servers));
  EXPECT_TRUE(all_loopback({test::ip("127.0.0.53"), test::ip("::1")}));
  EXPECT_EQ(with_name_servers("search a\nnameserver 127.0.0.1\noptions b", {test::ip("192.0.2.1")}),
            "nameserver 192.0.2.1\nsearch a\noptions b\n");
}

}  // namespace
}  // namespace hairpin::app
