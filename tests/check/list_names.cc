// Prints what the program knows: "command NAME", "option COMMAND NAME", "field OBJECT<tab>NAME".
#include <cstdio>

#include "cli/command_line.h"
#include "config/parse.h"

int main() {
  for (const auto& name : hairpin::cli::all_commands()) std::printf("command %s\n", name.c_str());
  for (const auto& option : hairpin::cli::all_options()) {
    std::printf("option %s %s\n", option.command.c_str(), option.name.c_str());
  }
  for (const auto& field : hairpin::config::all_fields()) {
    std::printf("field %s\t%s\n", field.object.c_str(), field.name.c_str());
  }
}
