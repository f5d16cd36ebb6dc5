// Loads the table of a machine with 128 processors, and keeps it until its input ends.
#include <cstdio>

#include "nft/apply.h"
#include "nft/plan.h"

int main() {
  using namespace hairpin;  // NOLINT(google-build-using-namespace)
  nft::TunLinkPolicy policy{"hp0", "hp0-in", Mark{0x48500007}, {}};
  for (const Family family : {Family::v4, Family::v6}) {
    policy.listeners.push_back({family, 1000, std::vector<std::uint16_t>(128, 2000)});
  }
  const auto owner = nft::apply(nft::plan_tun_link(policy));
  std::puts(owner ? "loaded" : owner.error().text().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return owner ? 0 : 1;
}
