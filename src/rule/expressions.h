// Regular expressions: RE2's, whose time is linear in the text whatever the expression.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hairpin::rule {

/// What is wrong with an expression; empty: nothing.
std::string expression_problem(const std::string& text);

/// An expression that matches this byte and no other.
std::string quoted(char c);

/// Several expressions, matched at once and anywhere in a text.
class Expressions {
 public:
  Expressions();
  Expressions(Expressions&&) noexcept;
  ~Expressions();

  /// Requires: nothing is wrong with it; before `finish`.
  void add(const std::string& text);
  void finish();

  /// Whether any matches.
  bool match(std::string_view text) const;

 private:
  struct Set;
  std::vector<std::unique_ptr<Set>> sets_;
};

}  // namespace hairpin::rule
