#include "cli/command_line.h"

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <sstream>

#include "config/parse.h"
#include "config/proxy_url.h"

namespace hairpin::cli {

namespace {

namespace po = boost::program_options;

struct CommandInfo {
  const char* name;
  const char* arguments;
  const char* summary;
};

constexpr std::array<CommandInfo, 13> kCommands{{
    {"run", "[-c FILE | options]", "bring the interface up and serve what is routed to it"},
    {"exec", "[options] [--] COMMAND [ARG]...",
     "run a command whose only way to the network is hairpin"},
    {"bypass", "[options] [--] COMMAND [ARG]...", "run a command that is not captured"},
    {"plan", "[-c FILE | options]", "print what run would do to this host"},
    {"reload", "[options]", "have a running hairpin read its configuration again"},
    {"select", "[options] GROUP OUTBOUND", "have a selector of a running hairpin use an outbound"},
    {"groups", "[options]", "show the groups of a running hairpin, and what they choose"},
    {"cleanup", "", "remove what killed ones have left behind, and open what on_stop has closed"},
    {"doctor", "[-c FILE | options]", "look for what is in the way, and say what helps"},
    {"match", "-c FILE [options] DESTINATION[:PORT]",
     "explain which rule a flow would take, and why"},
    {"rule-set", "compile|decompile|match FILE [NAME|ADDRESS]",
     "translate a rule-set, or ask it about a name or an address"},
    {"check", "-c FILE", "tell all that is wrong with a configuration"},
    {"version", "", "print the version and the libraries in use"},
}};

template <class T>
po::typed_value<T>* named(const char* name) {
  return po::value<T>()->value_name(name);
}

void add_common(po::options_description& options) {
  options.add_options()("help,h", "print this help and exit");
}

void add_interface_options(po::options_description& options) {
  using Texts = std::vector<std::string>;
  options.add_options()(
      "proxy", named<std::string>("URL"),
      "send flows through socks5://[USER:PASS@]HOST[:PORT], http://… or https://…, or to direct:// "
      "(default) or block://")(
      "address", named<Texts>("PREFIX")->composing(),
      "address of the interface; may be given several times (default 172.18.0.1/30 and "
      "fdfe:dcba:9876::1/126)")("mtu", named<unsigned>("BYTES"),
                                "of the interface (default 0: 65535)")(
      "link", named<std::string>("KIND"),
      "auto, veth or tun: how packets reach the kernel's stack (default auto)")(
      "stack", named<std::string>("KIND"),
      "system, userspace or mixed: whose TCP and UDP take what is captured (default system)")(
      "tcp-handshake", named<std::string>("WHEN"),
      "faithful or eager: when a client's handshake is answered (default faithful)")(
      "udp-timeout", named<std::string>("DURATION"), "of two-way UDP associations (default 5m)")(
      "log-level", named<std::string>("LEVEL"), "trace, debug, info, warn, error or fatal");
}

po::options_description options_of(std::string_view command) {
  po::options_description options("Options");
  if (command == "run" || command == "plan" || command == "doctor") {
    options.add_options()("config,c", named<std::string>("FILE"),
                          "configuration, see hairpin-config(5); - is standard input");
    add_interface_options(options);
    options.add_options()("tun-name", named<std::string>("NAME"),
                          "of the interface (default: the kernel chooses)")(
        "mark", named<std::string>("MARK"),
        "on outbound sockets, to keep them out of the interface (default 0x2024)")(
        "auto-route", "route the traffic of this host and of those behind it to the interface")(
        "auto-redirect", "with --auto-route: TCP by nftables, not through the interface")(
        "strict-route", "with --auto-route: what would go around the interface is refused")(
        "gateway", "with --auto-route: set this host up to forward for others")(
        "on-stop", named<std::string>("WHAT"),
        "with --auto-route: open or closed, when hairpin ends (default open)");
    if (command == "doctor") options.add_options()("json", "print JSON");
    if (command == "run") {
      options.add_options()("netns", named<std::string>("PATH|PID"),
                            "make the interface in this network namespace, for instance a "
                            "container's");
    }
  } else if (command == "exec") {
    add_interface_options(options);
    options.add_options()("dns", named<std::vector<std::string>>("ADDRESS")->composing(),
                          "name server for the command; may be given several times (default: the "
                          "system's)");
  } else if (command == "bypass") {
    options.add_options()("mark", named<std::string>("MARK"),
                          "of hairpin's outbound sockets (default 0x2024)");
  } else if (command == "reload") {
    options.add_options()("pid", named<int>("PID"), "which one (default: the only one here)");
  } else if (command == "select" || command == "groups") {
    options.add_options()("pid", named<int>("PID"), "which one (default: the only one here)");
    if (command == "groups") options.add_options()("json", "print JSON");
  } else if (command == "match") {
    options.add_options()("config,c", named<std::string>("FILE"),
                          "configuration; - is standard input")(
        "network", named<std::string>("NETWORK"), "tcp or udp (default tcp)")(
        "source", named<std::string>("ADDRESS[:PORT]"), "of the client")(
        "source-mac", named<std::string>("MAC"), "the client's hardware address")(
        "inbound", named<std::string>("TAG"), "that the flow comes from (default: the first)")(
        "domain", named<std::string>("NAME"), "that sniffing has found")(
        "protocol", named<std::string>("PROTOCOL"), "that sniffing has found")(
        "process", named<std::string>("PATH"), "of the executable of the local process")(
        "user", named<std::string>("USER"), "of that process, by name or number");
  } else if (command == "rule-set") {
    options.add_options()("output,o", named<std::string>("FILE"),
                          "of compile and decompile (default: standard output)");
  } else if (command == "check") {
    options.add_options()("config,c", named<std::string>("FILE"),
                          "configuration to check; - is standard input");
  }
  add_common(options);
  return options;
}

std::string general_help() {
  std::ostringstream out;
  out << "Usage: hairpin COMMAND [options]\n\n"
         "Transparent redirection of TCP and UDP through a proxy, terminated by the kernel.\n\n"
         "Commands:\n";
  for (const CommandInfo& command : kCommands) {
    out << "  " << command.name << std::string(10 - std::string_view(command.name).size(), ' ')
        << command.summary << "\n";
  }
  out << "\n\"hairpin COMMAND --help\" lists the options of a command; hairpin(8) explains them.\n";
  return out.str();
}

std::string help_of(const CommandInfo& command) {
  std::ostringstream out;
  out << "Usage: hairpin " << command.name << " " << command.arguments << "\n\n"
      << "hairpin " << command.name << ": " << command.summary << ".\n\n"
      << options_of(command.name);
  return out.str();
}

/// The configuration that a command's options describe, as a file would have it.
Result<nlohmann::json> json_from(const po::variables_map& given) {
  nlohmann::json tun{{"type", "tun"}, {"tag", "tun"}};
  tun["address"] = {"172.18.0.1/30", "fdfe:dcba:9876::1/126"};
  if (given.count("address") != 0) tun["address"] = given["address"].as<std::vector<std::string>>();
  if (given.count("tun-name") != 0) tun["interface_name"] = given["tun-name"].as<std::string>();
  if (given.count("mtu") != 0) tun["mtu"] = given["mtu"].as<unsigned>();
  if (given.count("link") != 0) tun["link"] = given["link"].as<std::string>();
  if (given.count("stack") != 0) tun["stack"] = given["stack"].as<std::string>();
  if (given.count("tcp-handshake") != 0) {
    tun["tcp_handshake"] = given["tcp-handshake"].as<std::string>();
  }
  if (given.count("udp-timeout") != 0) tun["udp_timeout"] = given["udp-timeout"].as<std::string>();
  if (given.count("auto-route") != 0) tun["auto_route"] = true;
  if (given.count("strict-route") != 0) tun["strict_route"] = true;
  if (given.count("auto-redirect") != 0) tun["auto_redirect"] = true;
  if (given.count("gateway") != 0) tun["gateway"] = true;
  if (given.count("on-stop") != 0) tun["on_stop"] = given["on-stop"].as<std::string>();
  nlohmann::json config{{"inbounds", nlohmann::json::array({tun})}};
  if (given.count("log-level") != 0) config["log"]["level"] = given["log-level"].as<std::string>();
  const bool captures = given.count("auto-route") != 0;
  if (captures && !config::marks_sockets()) config["route"]["auto_detect_interface"] = true;
  if (given.count("mark") != 0) config["route"]["default_mark"] = given["mark"].as<std::string>();
  const std::string url =
      given.count("proxy") != 0 ? given["proxy"].as<std::string>() : "direct://";
  auto outbound = config::parse_proxy_url(url);
  if (!outbound) return outbound.error();
  config["outbounds"] = nlohmann::json::array({*outbound});
  return Result<nlohmann::json>(boost::system::in_place_value, std::move(config));
}

Error usage(const CommandInfo& command, const std::string& what) {
  return Error{what + "; see \"hairpin " + command.name + " --help\""};
}

Result<Command> make_run(const CommandInfo& info, const po::variables_map& given) {
  Run run;
  if (given.count("log-level") != 0) run.log_level = given["log-level"].as<std::string>();
  if (given.count("netns") != 0) {
    run.netns = given["netns"].as<std::string>();
    if (run.netns.empty())
      return usage(info, "--netns: expected a path or the number of a process");
  }
  if (given.count("config") != 0) {
    for (const char* other :
         {"proxy", "tun-name", "address", "mtu", "tcp-handshake", "udp-timeout", "mark",
          "auto-route", "auto-redirect", "strict-route", "gateway", "on-stop"}) {
      if (given.count(other) == 0) continue;
      return usage(info, std::string("--") + other + " cannot be combined with --config");
    }
    if (given.count("link") != 0) run.link = given["link"].as<std::string>();
    if (given.count("stack") != 0) run.stack = given["stack"].as<std::string>();
    run.source.file = given["config"].as<std::string>();
    return Command(run);
  }
  auto options = json_from(given);
  if (!options) return options.error();
  run.source.options = std::move(*options);
  return Command(run);
}

Result<Command> make_exec(const CommandInfo& info, const po::variables_map& given,
                          std::vector<std::string> words) {
  if (words.empty()) return usage(info, "no command given");
  auto options = json_from(given);
  if (!options) return options.error();
  Exec exec{std::move(*options), {}, std::move(words)};
  if (given.count("dns") != 0) {
    for (const std::string& text : given["dns"].as<std::vector<std::string>>()) {
      const auto address = IpAddr::parse(text);
      if (!address) return usage(info, "--dns: \"" + text + "\" is no address");
      exec.dns.push_back(*address);
    }
  }
  return Command(exec);
}

/// Options end at the first word that is none, as with env(1): what follows is the command's.
std::size_t count_own_words(const po::options_description& options,
                            const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--" || !word.starts_with('-')) return i;
    const auto* option =
        options.find_nothrow(word.substr(std::min(word.find_first_not_of('-'), word.size())), true);
    const bool has_value = option != nullptr && option->semantic()->max_tokens() > 0;
    if (has_value && word.find('=') == std::string::npos) ++i;
  }
  return words.size();
}

using Words = std::vector<std::string>;

std::string text_of(const po::variables_map& given, const char* option,
                    const std::string& otherwise = "") {
  return given.count(option) == 0 ? otherwise : given[option].as<std::string>();
}

std::optional<int> pid_of(const po::variables_map& given) {
  if (given.count("pid") == 0) return std::nullopt;
  return given["pid"].as<int>();
}

Result<Command> make_match(const CommandInfo& info, const po::variables_map& given,
                           const Words& words) {
  if (given.count("config") == 0) return usage(info, "--config is missing");
  if (words.size() != 1) return usage(info, "one destination is needed");
  Match match{{text_of(given, "config"), {}}, text_of(given, "network", "tcp"),
              text_of(given, "source"),       text_of(given, "source-mac"),
              text_of(given, "inbound"),      text_of(given, "domain"),
              text_of(given, "protocol"),     text_of(given, "process"),
              text_of(given, "user"),         words[0]};
  if (match.network != "tcp" && match.network != "udp") {
    return usage(info, "--network: expected tcp or udp, got \"" + match.network + "\"");
  }
  return Command(std::move(match));
}

Result<Command> make_rule_set(const CommandInfo& info, const po::variables_map& given,
                              const Words& words) {
  RuleSet set;
  const std::string what = words.empty() ? "" : words[0];
  if (what == "compile") {
    set.what = RuleSet::What::compile;
  } else if (what == "decompile") {
    set.what = RuleSet::What::decompile;
  } else if (what != "match") {
    return usage(info, "expected compile, decompile or match, got \"" + what + "\"");
  }
  const bool match = set.what == RuleSet::What::match;
  if (words.size() != (match ? 3U : 2U)) {
    return usage(info,
                 match ? "match needs a file, and a name or an address" : what + " needs one file");
  }
  if (match && given.count("output") != 0) return usage(info, "match takes no --output");
  set.file = words[1];
  set.output = text_of(given, "output");
  if (match) set.asked = words[2];
  return Command(std::move(set));
}

Result<Command> parse_command(const CommandInfo& info, std::vector<std::string> words) {
  const auto options = options_of(info.name);
  const std::string_view name = info.name;
  const bool takes_command = name == "exec" || name == "bypass";
  std::vector<std::string> command;
  if (takes_command) {
    const std::size_t own = std::min(count_own_words(options, words), words.size());
    auto rest = words.begin() + static_cast<std::ptrdiff_t>(own);
    if (rest != words.end() && *rest == "--") {
      command.assign(rest + 1, words.end());
    } else {
      command.assign(rest, words.end());
    }
    words.resize(own);
  }
  const bool takes_words = name == "match" || name == "rule-set" || name == "select";
  po::options_description accepted;
  accepted.add(options);
  po::positional_options_description positions;
  if (takes_words) {
    accepted.add_options()("words", po::value<Words>());
    positions.add("words", -1);
  }
  po::variables_map given;
  try {
    po::store(
        po::command_line_parser(words)
            .options(accepted)
            .positional(positions)
            .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
            .run(),
        given);
  } catch (const po::too_many_positional_options_error&) {
    return usage(info, "unexpected argument");
  } catch (const po::error& failure) {
    return usage(info, failure.what());
  }
  if (given.count("help") != 0) return Command(Help{help_of(info)});
  if (name == "run") return make_run(info, given);
  if (name == "exec") return make_exec(info, given, std::move(command));
  if (name == "plan") {
    auto run = make_run(info, given);
    if (!run) return run.error();
    return Command(Plan{std::get<Run>(std::move(*run)).source});
  }
  if (name == "doctor") {
    auto run = make_run(info, given);
    if (!run) return run.error();
    return Command(Doctor{std::get<Run>(std::move(*run)).source, given.count("json") != 0});
  }
  if (name == "bypass") {
    if (command.empty()) return usage(info, "no command given");
    std::string mark = "0x2024";
    if (given.count("mark") != 0) mark = given["mark"].as<std::string>();
    return Command(Bypass{mark, std::move(command)});
  }
  if (name == "reload") return Command(Reload{pid_of(given)});
  const Words rest = given.count("words") == 0 ? Words() : given["words"].as<Words>();
  if (name == "match") return make_match(info, given, rest);
  if (name == "select" && rest.size() != 2)
    return usage(info, "a group and an outbound are needed");
  if (name == "select") return Command(Select{pid_of(given), rest[0], rest[1]});
  if (name == "groups") return Command(Groups{pid_of(given), given.count("json") != 0});
  if (name == "rule-set") return make_rule_set(info, given, rest);
  if (name == "cleanup") return Command(Cleanup{});
  if (name == "check") {
    if (given.count("config") == 0) return usage(info, "--config is missing");
    return Command(Check{{given["config"].as<std::string>(), {}}});
  }
  return Command(Version{});
}

}  // namespace

Result<Command> parse(int argc, const char* const* argv) {
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (words.empty()) return Error{"no command given; see \"hairpin --help\""};
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    return Command(Help{general_help()});
  }
  if (words[0] == "--version") return Command(Version{});
  const auto* info = std::ranges::find(kCommands, words[0], &CommandInfo::name);
  if (info == kCommands.end()) {
    return Error{"unknown command \"" + words[0] + "\"; see \"hairpin --help\""};
  }
  return parse_command(*info, {words.begin() + 1, words.end()});
}

std::vector<OptionInfo> all_options() {
  std::vector<OptionInfo> all;
  for (const CommandInfo& command : kCommands) {
    const auto options = options_of(command.name);
    for (const auto& option : options.options()) {
      all.push_back({command.name, option->long_name()});
    }
  }
  return all;
}

std::vector<std::string> all_commands() {
  std::vector<std::string> names;
  for (const CommandInfo& command : kCommands) names.emplace_back(command.name);
  return names;
}

}  // namespace hairpin::cli
