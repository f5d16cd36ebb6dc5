#include "config/syn_marks.h"

#include <gtest/gtest.h>

#include <set>

#include "config/parse.h"

namespace hairpin::config {
namespace {

std::vector<Mark> all(const SynMarks& syn) {
  return {syn.let_in, syn.reset, syn.leave, syn.network, syn.host, syn.administrator};
}

TEST(SynMarks, AreDifferentAndUnderTheMask) {
  for (const Marks& marks :
       {Marks{}, Marks{Mark{0x2023}, Mark{0x2024}, Mark{0x2025}, 0xffff},
        Marks{Mark{1}, Mark{2}, Mark{4}, 7}, Marks{Mark{3}, Mark{3}, Mark{3}, 7},
        Marks{Mark{0x80000000}, Mark{0x2024}, Mark{0x10000}, 0x80010010},
        Marks{Mark{1}, Mark{0}, Mark{2}, 0xffffffff}}) {
    std::set<Mark> seen;
    for (const Mark mark : all(syn_marks(marks))) {
      EXPECT_NE(mark.value() & marks.mask, 0);
      EXPECT_EQ(mark.value() & ~marks.mask, 0);
      EXPECT_TRUE(seen.insert(mark).second) << mark.value();
    }
  }
}

TEST(SynMarks, AreAsTheyAreNamed) {
  const SynMarks syn = syn_marks({Mark{0x2023}, Mark{0x2024}, Mark{0x2025}, 0xffff});
  EXPECT_EQ(all(syn), (std::vector{Mark{0x2023}, Mark{0x2025}, Mark{0x2024}, Mark{0x2026},
                                   Mark{0x2027}, Mark{0x2028}}));
}

}  // namespace
}  // namespace hairpin::config
