#include "config/syn_marks.h"

#include <algorithm>
#include <array>
#include <vector>

namespace hairpin::config {

namespace {

/// The bits of `number`, from the lowest on, in the places of those of `mask`.
std::uint32_t spread(std::uint32_t number, std::uint32_t mask) {
  std::uint32_t value = 0;
  for (std::uint32_t bit = 1; bit != 0; bit <<= 1U) {
    if ((mask & bit) == 0) continue;
    if ((number & 1U) != 0) value |= bit;
    number >>= 1U;
  }
  return value;
}

/// The other way round.
std::uint32_t gather(std::uint32_t value, std::uint32_t mask) {
  std::uint32_t number = 0;
  std::uint32_t next = 1;
  for (std::uint32_t bit = 1; bit != 0; bit <<= 1U) {
    if ((mask & bit) == 0) continue;
    if ((value & bit) != 0) number |= next;
    next <<= 1U;
  }
  return number;
}

/// Gives each value once.
class Values {
 public:
  explicit Values(std::uint32_t mask) : mask_(mask) {}

  /// `wanted`, as far as it is under the mask, or else the next that is free.
  Mark take(Mark wanted) {
    const Mark masked{wanted.value() & mask_};
    return is_free(masked) ? keep(masked) : next();
  }
  Mark next() {
    while (!is_free(Mark{spread(number_, mask_)})) ++number_;
    return keep(Mark{spread(number_, mask_)});
  }
  void begin_behind(Mark mark) { number_ = gather(mark.value(), mask_) + 1; }

 private:
  bool is_free(Mark mark) const { return mark && std::ranges::find(taken_, mark) == taken_.end(); }
  Mark keep(Mark mark) {
    taken_.push_back(mark);
    return mark;
  }

  std::uint32_t mask_;
  std::uint32_t number_ = 1;
  std::vector<Mark> taken_;
};

}  // namespace

SynMarks syn_marks(const Marks& marks) {
  Values values(marks.mask);
  SynMarks syn;
  syn.let_in = values.take(marks.input);
  syn.reset = values.take(marks.reset.value_or(kResetMark));
  // The others are beside these, and not the small numbers that everybody chooses.
  values.begin_behind(syn.reset);
  syn.leave = values.take(marks.output.value_or(Mark{}));
  syn.network = values.next();
  syn.host = values.next();
  syn.administrator = values.next();
  return syn;
}

}  // namespace hairpin::config
