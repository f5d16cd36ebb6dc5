// Reading JSON values into typed members, each with a path for its complaints.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/json.h"

namespace hairpin::config {

/// One JSON value on its way into the configuration. Cheap to copy; all share one list of problems.
class Reader {
 public:
  Reader(const nlohmann::json& value, std::string path, Problems& problems)
      : value_(&value), path_(std::move(path)), problems_(&problems) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  Problems& problems() const { return *problems_; }

  void complain(std::string message) const { problems_->push_back({path_, std::move(message)}); }
  /// "expected X, got Y".
  void expected(std::string_view what) const;

  Reader member(const std::string& key) const;
  Reader element(std::size_t index) const;
  class Elements;
  /// The elements of a list; a value that is no list is taken as a list of one.
  Elements list() const;
  bool is_object() const;  ///< Complains if not.

 private:
  const nlohmann::json* value_;
  std::string path_;
  Problems* problems_;
};

/// Made one by one: a list may have millions.
class Reader::Elements {
 public:
  explicit Elements(Reader list) : list_(std::move(list)) {}

  class Iterator {
   public:
    Iterator(const Reader& list, std::size_t index) : list_(&list), index_(index) {}
    Reader operator*() const { return list_->value().is_array() ? list_->element(index_) : *list_; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.index_ == b.index_; }

   private:
    const Reader* list_;
    std::size_t index_;
  };
  Iterator begin() const { return {list_, 0}; }
  Iterator end() const { return {list_, size()}; }
  std::size_t size() const { return list_.value().is_array() ? list_.value().size() : 1; }
  bool empty() const { return size() == 0; }

 private:
  Reader list_;
};
inline Reader::Elements Reader::list() const {
  return Elements(*this);
}

/// One known key of an object of type T.
template <class T>
struct Field {
  std::string_view name;
  std::string_view expects;
  void (*read)(const Reader&, T&);
};

/// Of "type", which is read before, to choose the table.
template <class T>
void ignore_type(const Reader&, T&) {}

/// One line of the tables that the parser works from: the manual page is held against them.
struct FieldInfo {
  std::string object;  ///< "inbounds", "outbounds, socks", …
  std::string name;
  std::string expects;  ///< "a duration such as \"5m\"", …
};

template <class T>
void list_fields(std::vector<FieldInfo>& all, const char* object,
                 std::span<const Field<T>> fields) {
  for (const Field<T>& field : fields) {
    all.push_back({object, std::string(field.name), std::string(field.expects)});
  }
}

/// The known name nearest to `name`; empty when none is near.
std::string nearest(std::string_view name, std::span<const std::string_view> known);

/// Complains about a key that is not known. `keys` are those that are.
void complain_unknown(const Reader& object, const std::string& key,
                      std::span<const std::string_view> keys);

/// What some of the keys of an object are read into.
template <class T>
struct Part {
  std::span<const Field<T>> fields;
  T& out;

  bool read(const Reader& object, const std::string& key) const {
    for (const Field<T>& field : fields) {
      if (field.name != key) continue;
      field.read(object.member(key), out);
      return true;
    }
    return false;
  }
  void list(std::vector<std::string_view>& names) const {
    for (const Field<T>& field : fields) names.push_back(field.name);
  }
};

/// Reads every key of `object` through the first part that knows it.
template <class... T>
void read_parts(const Reader& object, const Part<T>&... parts) {
  if (!object.is_object()) return;
  for (const auto& [key, value] : object.value().items()) {
    if ((parts.read(object, key) || ...)) continue;
    std::vector<std::string_view> names;
    (parts.list(names), ...);
    complain_unknown(object, key, names);
  }
}

/// The value of "type"; complains and is empty unless it is one of `known`.
std::string read_type(const Reader& object, std::span<const std::string_view> known);

/// Complains about a tag that nobody has. `what`: whose tags these are.
void check_reference(Problems& problems, std::string where, const std::string& tag,
                     const std::set<std::string>& tags, const char* what);

template <class T>
void read_object(const Reader& object, std::span<const Field<T>> fields, T& out) {
  read_parts(object, Part<T>{fields, out});
}

// Each writes to `out` only when the value is right, and complains otherwise.
void read(const Reader& reader, bool& out);
void read(const Reader& reader, std::string& out);
void read(const Reader& reader, Duration& out);  ///< "300ms", "5s", "5m", "2h4m"
void read(const Reader& reader, Prefix& out);
void read(const Reader& reader, Interval& out);  ///< As a prefix.
void read(const Reader& reader, Mark& out);      ///< Number, or text as "0x2024".
void read(const Reader& reader, Network& out);
void read_number(const Reader& reader, std::uint64_t min, std::uint64_t max, std::uint64_t& out);
void read_port(const Reader& reader, std::uint16_t& out);
/// "1000:2000", ":3000", "4000:"
void read_port_range(const Reader& reader, PortRange& out);

template <class T>
void read(const Reader& reader, std::vector<T>& out) {
  for (const Reader element : reader.list()) {
    const std::size_t before = reader.problems().size();
    T value{};
    read(element, value);
    if (reader.problems().size() == before) out.push_back(std::move(value));
  }
}

/// "02:00:5e:00:53:01"
std::optional<MacAddress> parse_mac(const std::string& text);
std::optional<Duration> parse_duration(std::string_view text);

}  // namespace hairpin::config
