#include "rule/expressions.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <vector>

namespace hairpin::rule {

namespace {

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

}  // namespace

/// Expressions that are matched together. Too many would need more memory than RE2 allows itself.
struct Expressions::Set {
  static constexpr std::size_t kMost = 500;

  RE2::Set together{quiet(), RE2::UNANCHORED};
  std::vector<std::string> each;
  bool compiled = false;

  bool match(const re2::StringPiece& text) const {
    if (compiled) {
      std::vector<int> found;
      RE2::Set::ErrorInfo error{RE2::Set::kNoError};
      if (together.Match(text, &found, &error)) return true;
      if (error.kind == RE2::Set::kNoError) return false;
    }
    // Slow, but right: this text needs more states than there is memory for.
    return std::ranges::any_of(each, [&text](const std::string& one) {
      return RE2::PartialMatch(text, RE2(one, quiet()));
    });
  }
};

std::string expression_problem(const std::string& text) {
  const RE2 expression(text, quiet());
  return expression.ok() ? "" : expression.error();
}

std::string quoted(char c) {
  return RE2::QuoteMeta(re2::StringPiece(&c, 1));
}

Expressions::Expressions() = default;
Expressions::Expressions(Expressions&&) noexcept = default;
Expressions::~Expressions() = default;

void Expressions::add(const std::string& text) {
  if (sets_.empty() || sets_.back()->each.size() == Set::kMost) {
    sets_.push_back(std::make_unique<Set>());
  }
  sets_.back()->together.Add(text, nullptr);
  sets_.back()->each.push_back(text);
}

void Expressions::finish() {
  for (const auto& set : sets_) set->compiled = set->together.Compile();
}

bool Expressions::match(std::string_view text) const {
  const re2::StringPiece piece(text.data(), text.size());
  return std::ranges::any_of(sets_, [&piece](const auto& set) { return set->match(piece); });
}

}  // namespace hairpin::rule
