#include "rule/expressions.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <vector>

namespace hairpin::rule {

namespace {

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  return options;
}

}  // namespace

struct Expressions::Set {
  RE2::Set expressions{quiet(), RE2::UNANCHORED};
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
  if (!set_) set_ = std::make_unique<Set>();
  set_->expressions.Add(text, nullptr);
}

void Expressions::finish() {
  if (set_) set_->expressions.Compile();
}

bool Expressions::match(std::string_view text) const {
  return set_ && set_->expressions.Match(re2::StringPiece(text.data(), text.size()), nullptr);
}

}  // namespace hairpin::rule
