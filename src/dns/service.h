// Answers questions, by rules: one for each worker and configuration.
//
// How it works
//
//   question ── rules ──┬─ reject, predefined
//                       └─ server ──┬─ hosts, fakeip            at once
//                                   ├─ cache                    at once
//                                   └─ udp, tcp, tls, local     asked once for all who wait
//
// A rule with conditions on addresses is about the answer: its server is asked, and if what comes
// back does not fulfil the rule, the rules behind it are. What can be said at once is said without
// a coroutine.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/asio.h"
#include "config/config.h"
#include "dns/hosts.h"
#include "dns/store.h"
#include "dns/upstream.h"
#include "flow/flow.h"
#include "flow/names.h"
#include "flow/reject_window.h"
#include "flow/worker.h"
#include "outbound/outbound.h"
#include "rule/matcher.h"
#include "wire/dns.h"

namespace hairpin::dns {

/// The rules of a configuration, compiled. Shared by all workers.
class Rules {
 public:
  /// `epoch` is Store::configure's.
  Rules(const config::Config& config, std::uint64_t epoch);
  bool asks_process() const { return asks_process_; }
  bool asks_mac() const { return asks_mac_; }

 private:
  friend class Service;
  struct Compiled {
    rule::CompiledRule rule;
    bool about_answer = false;
    std::size_t server = 0;
  };
  std::vector<Compiled> rules_;
  std::vector<Hosts> hosts_;  ///< By server; empty where it is of another type.
  std::vector<std::string> inbounds_;
  std::size_t final_ = 0;
  bool asks_process_ = false;
  bool asks_mac_ = false;
  std::uint64_t epoch_;
};

/// Who asks. A null `flow` is the program itself.
struct Asker {
  const Flow* flow = nullptr;
  std::size_t limit = kMaxMessage;  ///< Bytes of an answer.
};

/// For one thread. Coroutines hold it.
class Service final : public Names, public std::enable_shared_from_this<Service> {
 public:
  /// `outbounds` are those of `config`, `own` opens what goes out directly.
  Service(Worker& worker, std::shared_ptr<Store> store, std::shared_ptr<const Rules> rules,
          const config::Config& config,
          const std::vector<std::shared_ptr<outbound::Outbound>>& outbounds, bool mark_sockets);

  /// How far a question has come.
  struct Progress {
    std::size_t rule = 0;
    std::size_t server = 0;  ///< That is to be asked.
    bool final = false;      ///< No rule said so.
    config::DnsOptions options;
    config::DnsOptions declined;  ///< What they were before the rule that asks.
  };
  /// The answer, where nobody has to be waited for; empty bytes are silence.
  std::optional<Bytes> answer_at_once(const Query& query, const Asker& asker, Progress& progress);
  /// The rest, behind that. The arguments live until then.
  Task<Bytes> answer(const Query& query, const Asker& asker, Progress& progress);

  Task<Addresses> lookup(const std::string& name, const config::DomainResolver& resolver,
                         Clock::duration patience) override;

 private:
  struct Server {
    std::shared_ptr<Upstream> upstream;  ///< Null: it answers at once.
    const Hosts* hosts = nullptr;        ///< In the rules.
    enum class Kind : std::uint8_t { remote, hosts, fake } kind = Kind::remote;
    std::string tag;
  };
  struct Told {
    AnswerPtr answer;
    std::uint32_t age = 0;
  };
  enum class Step : std::uint8_t { ask, reject, drop, predefined };

  Step next(const Query& query, const Asker& asker, Progress& progress) const;
  rule::Facts facts_of(const Query& query, const Asker& asker, const std::string& name) const;
  bool accepts(const Query& query, const Asker& asker, const Progress& progress,
               const Answer& answer) const;
  std::optional<Told> tell_at_once(const Query& query, const Progress& progress);
  Task<Result<Told>> ask(const Query& query, const Progress& progress);
  Bytes finish(const Query& query, const Asker& asker, const Progress& progress, const Told& told);
  static void decline(Progress& progress);
  bool may_tell();
  /// What a rule that rejects says; empty bytes are silence.
  Bytes refuse(const Query& query, const Asker& asker, const Progress& progress);
  Answer predefined(const Query& query, const Progress& progress) const;
  Bytes fail(const Query& query, const Asker& asker, Rcode rcode) const;
  std::string key_of(const Query& query, const Progress& progress) const;
  const std::optional<Prefix>& subnet_of(const Progress& progress) const;
  config::Strategy strategy_of(const Progress& progress) const;
  Server make_server(const config::Config& config, const config::DnsServer& from,
                     const std::vector<std::shared_ptr<outbound::Outbound>>& outbounds,
                     bool mark_sockets);
  using Found = Result<std::vector<IpAddr>>;
  struct Lookup;
  /// Of one type; by rules, unless a server is given.
  Task<Found> addresses(const Lookup& lookup, std::uint16_t type);
  Task<> look_up_one(std::shared_ptr<Lookup> lookup, std::uint16_t type);

  Worker& worker_;
  std::shared_ptr<Store> store_;
  std::shared_ptr<const Rules> rules_;
  config::Dns dns_;
  std::vector<Server> servers_;
  RejectWindows rejections_;
  Clock::time_point telling_since_;
  unsigned told_ = 0;  ///< Since then.
};

}  // namespace hairpin::dns
