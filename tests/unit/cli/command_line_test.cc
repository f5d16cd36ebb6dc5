#include "cli/command_line.h"

#include <gtest/gtest.h>

#include "config/parse.h"

namespace hairpin::cli {
namespace {

Result<Command> parse_words(std::vector<const char*> words) {
  words.insert(words.begin(), "hairpin");
  return parse(static_cast<int>(words.size()), words.data());
}

template <class T>
T expect(std::vector<const char*> words) {
  auto command = parse_words(words);
  if (!command) {
    ADD_FAILURE() << command.error().text();
    return T{};
  }
  EXPECT_TRUE(std::holds_alternative<T>(*command));
  return std::get<T>(*command);
}

TEST(CommandLine, RunWithFileOrOptions) {
  EXPECT_EQ(expect<cli::Run>({"run", "-c", "x.json"}).source.file, "x.json");
  EXPECT_EQ(expect<cli::Run>({"run", "--config=-", "--log-level", "debug"}).log_level, "debug");
  const auto run = expect<cli::Run>({"run", "--proxy", "socks5://h:1", "--tun-name", "hp0",
                                     "--address", "10.0.0.1/30", "--address", "fd00::1/126",
                                     "--mtu", "1500", "--udp-timeout", "1m", "--mark", "0x9"});
  config::Problems problems;
  const auto config = config::parse_value(run.source.options, problems);
  ASSERT_TRUE(config) << problems.at(0).where << problems.at(0).message;
  EXPECT_EQ(config->inbounds.at(0).interface_name, "hp0");
  EXPECT_EQ(config->inbounds[0].address.size(), 2U);
  EXPECT_EQ(config->inbounds[0].mtu, 1500U);
  EXPECT_EQ(config->inbounds[0].udp_timeout, std::chrono::minutes(1));
  EXPECT_EQ(config->route.default_mark, Mark{9});
  EXPECT_EQ(std::get<config::Socks>(config->outbounds.at(0).kind).server.port, 1);
}

TEST(CommandLine, LinkAndNamespace) {
  const auto beside_file =
      expect<cli::Run>({"run", "-c", "x.json", "--link", "veth", "--netns", "1"});
  EXPECT_EQ(beside_file.link, "veth");
  EXPECT_EQ(beside_file.netns, "1");
  for (const auto& [text, kind] :
       {std::pair{"auto", config::LinkKind::automatic}, std::pair{"veth", config::LinkKind::veth},
        std::pair{"tun", config::LinkKind::tun}}) {
    config::Problems problems;
    const auto run = expect<cli::Run>({"run", "--link", text});
    EXPECT_EQ(config::parse_value(run.source.options, problems)->inbounds.at(0).link, kind);
    const auto exec = expect<Exec>({"exec", "--link", text, "a"});
    EXPECT_EQ(config::parse_value(exec.options, problems)->inbounds.at(0).link, kind);
  }
  config::Problems problems;
  const auto eager = expect<cli::Run>({"run", "--tcp-handshake", "eager"});
  EXPECT_EQ(config::parse_value(eager.source.options, problems)->inbounds.at(0).tcp_handshake,
            config::Handshake::eager);
  EXPECT_FALSE(parse_words({"run", "-c", "x.json", "--tcp-handshake", "eager"}));
  EXPECT_FALSE(parse_words({"run", "--netns", ""}));
  EXPECT_FALSE(parse_words({"exec", "--netns", "1", "a"}));
}

TEST(CommandLine, EveryProxyUrlMakesAValidConfiguration) {
  for (const char* url : {"socks5://h", "http://h", "http://u:p@[::1]", "direct://", "block://"}) {
    const auto run = expect<cli::Run>({"run", "--proxy", url});
    config::Problems problems;
    EXPECT_TRUE(config::parse_value(run.source.options, problems)) << url;
  }
}

TEST(CommandLine, ExecLeavesTheCommandsOptionsAlone) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(expect<Exec>({"exec", "curl", "-h"}).command, (Words{"curl", "-h"}));
  EXPECT_EQ(expect<Exec>({"exec", "--", "--help"}).command, Words{"--help"});
  EXPECT_EQ(expect<Exec>({"exec", "--proxy", "direct://", "sh", "-c", "x", "--", "y"}).command,
            (Words{"sh", "-c", "x", "--", "y"}));
  EXPECT_EQ(expect<Exec>({"exec", "--proxy=direct://", "--mtu", "1500", "--", "a"}).command,
            Words{"a"});
  EXPECT_EQ(expect<Exec>({"exec", "--dns", "192.0.2.1", "--dns", "::1", "a"}).dns.size(), 2U);
}

TEST(CommandLine, Others) {
  EXPECT_EQ(expect<Check>({"check", "-c", "f"}).source.file, "f");
  (void)expect<Version>({"version"});
  (void)expect<Version>({"--version"});
  EXPECT_NE(expect<Help>({"--help"}).text.find("Commands:"), std::string::npos);
  for (const std::string& command : all_commands()) {
    EXPECT_NE(expect<Help>({command.c_str(), "--help"}).text.find("--help"), std::string::npos);
  }
}

TEST(CommandLine, Mistakes) {
  for (const std::vector<const char*>& words :
       std::vector<std::vector<const char*>>{{},
                                             {"fly"},
                                             {"run", "--nonsense"},
                                             {"run", "stray"},
                                             {"run", "--mtu", "x"},
                                             {"run", "--mtu"},
                                             {"run", "-c", "f", "--proxy", "direct://"},
                                             {"run", "--proxy", "nonsense"},
                                             {"exec"},
                                             {"exec", "--"},
                                             {"exec", "--mtu"},
                                             {"exec", "--dns", "x", "a"},
                                             {"exec", "--nonsense", "a"},
                                             {"check"},
                                             {"check", "f"},
                                             {"run", "--conf", "x"}}) {
    const auto command = parse_words(words);
    EXPECT_TRUE(command.has_error()) << (words.empty() ? "" : words.back());
  }
}

}  // namespace
}  // namespace hairpin::cli
