#include "platform/routes.h"

namespace hairpin::platform {

namespace {

std::string hexadecimal(std::uint32_t value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), kDigits[value & 0xf]);
    value >>= 4;
  } while (value != 0);
  return "0x" + text;
}

std::string table_text(TableId table) {
  if (table == kMainTable) return "main";
  if (table == kLocalTable) return "local";
  return std::to_string(table.value());
}

}  // namespace

std::string text(const Rule& rule) {
  std::string text = "pref " + std::to_string(rule.priority.value());
  if (rule.negated) text += " not";
  if (rule.source) text += " from " + rule.source->text();
  if (rule.destination) text += " to " + rule.destination->text();
  if (rule.mark) {
    text += " fwmark " + hexadecimal(rule.mark->value());
    // A mask that goes without saying goes without effect where the mark is 0.
    if (rule.mark_mask != ~0U || !*rule.mark) text += "/" + hexadecimal(rule.mark_mask);
  }
  if (!rule.input_interface.empty()) text += " iif " + rule.input_interface;
  if (rule.users) {
    text +=
        " uidrange " + std::to_string(rule.users->first) + "-" + std::to_string(rule.users->last);
  }
  if (rule.to_port) text += " dport " + std::to_string(*rule.to_port);
  switch (rule.action) {
    case RuleAction::lookup:
      text += " lookup " + table_text(rule.table);
      if (rule.without_default) text += " suppress_prefixlength 0";
      break;
    case RuleAction::go_to:
      text += " goto " + std::to_string(rule.target.value());
      break;
    case RuleAction::unreachable:
      text += " unreachable";
      break;
    case RuleAction::nothing:
      text += " nop";
      break;
  }
  return text + " protocol " + std::to_string(kRouteProtocol);
}

}  // namespace hairpin::platform
