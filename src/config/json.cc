#include "config/json.h"

#include <algorithm>
#include <set>

namespace hairpin::config {

namespace {

using Json = nlohmann::json;

/// Deeper nesting than any configuration has; bounds what a hostile file can make us hold.
constexpr int kMaxDepth = 64;

std::string line_and_column(std::string_view text, std::size_t offset) {
  const auto before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::ranges::count(before, '\n');
  const auto start = before.rfind('\n');
  const auto column = before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1;
  return std::to_string(line) + ":" + std::to_string(column);
}

/// nlohmann's text is "[json.exception.parse_error.101] parse error at line 1, column 2: syntax
/// error while …"; the part behind the position is what helps.
std::string short_reason(const std::string& what) {
  const auto at = what.find("column ");
  const auto colon = at == std::string::npos ? at : what.find(": ", at);
  return colon == std::string::npos ? what : what.substr(colon + 2);
}

/// Follows the parser through the document to see keys that stand twice in one object, of which
/// nlohmann would silently keep the last.
class KeyWatch {
 public:
  explicit KeyWatch(Problems& problems) : problems_(problems) {}

  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        if (depth >= kMaxDepth) throw std::length_error("nested too deeply");
        levels_.push_back({path_of_next(), event == Json::parse_event_t::array_start, 0, {}, {}});
        break;
      case Json::parse_event_t::key: {
        Level& level = levels_.back();
        level.key = value.get<std::string>();
        if (!level.keys.insert(level.key).second) {
          problems_.push_back({path_of_next(), "stands twice in this object"});
        }
        break;
      }
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        levels_.pop_back();
        count_element();
        break;
      case Json::parse_event_t::value:
        count_element();
        break;
    }
    return true;
  }

 private:
  struct Level {
    std::string path;
    bool array;
    std::size_t index;
    std::string key;
    std::set<std::string> keys;
  };

  void count_element() {
    if (!levels_.empty() && levels_.back().array) ++levels_.back().index;
  }
  std::string path_of_next() const {
    if (levels_.empty()) return "";
    const Level& level = levels_.back();
    if (level.array) return level.path + "[" + std::to_string(level.index) + "]";
    return level.path.empty() ? level.key : level.path + "." + level.key;
  }

  Problems& problems_;
  std::vector<Level> levels_;
};

}  // namespace

std::string without_comments(std::string_view text) {
  std::string out(text);
  std::size_t comma = std::string::npos;  // a comma with only blanks and comments behind it so far
  const auto blank = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      if (out[i] != '\n') out[i] = ' ';
    }
  };
  for (std::size_t i = 0; i < out.size();) {
    const char c = out[i];
    if (c == '"') {
      for (++i; i < out.size() && out[i] != '"'; ++i) {
        if (out[i] == '\\') ++i;
      }
      ++i;
      comma = std::string::npos;
    } else if (c == '/' && i + 1 < out.size() && out[i + 1] == '/') {
      const std::size_t end = std::min(out.find('\n', i), out.size());
      blank(i, end);
      i = end;
    } else if (c == '/' && i + 1 < out.size() && out[i + 1] == '*') {
      const std::size_t close = out.find("*/", i + 2);
      if (close == std::string::npos) return out;  // the parser complains at its beginning
      blank(i, close + 2);
      i = close + 2;
    } else {
      if ((c == ']' || c == '}') && comma != std::string::npos) out[comma] = ' ';
      if (c == ',') {
        comma = i;
      } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
        comma = std::string::npos;
      }
      ++i;
    }
  }
  return out;
}

Json parse_json(std::string_view text, Problems& problems) {
  const std::string strict = without_comments(text);
  try {
    return Json::parse(strict, KeyWatch(problems));
  } catch (const Json::parse_error& failure) {
    const std::size_t offset = failure.byte == 0 ? 0 : failure.byte - 1;
    problems.push_back({line_and_column(strict, offset), short_reason(failure.what())});
  } catch (const Json::out_of_range& failure) {
    // A number beyond what a double holds; the text quotes it, which tells where it stands.
    const std::string what = failure.what();
    const auto open = what.find('\'');
    const auto close = what.rfind('\'');
    const std::string number = close > open ? what.substr(open + 1, close - open - 1) : "";
    problems.push_back({line_and_column(strict, strict.find(number)), "number out of range"});
  } catch (const Json::exception& failure) {
    problems.push_back({"1:1", failure.what()});
  } catch (const std::length_error& failure) {
    problems.push_back({"1:1", failure.what()});
  }
  return nullptr;
}

}  // namespace hairpin::config
