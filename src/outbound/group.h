// Groups: outbounds that choose one of several.
//
//   selector   the one that somebody has chosen (`hairpin select`)
//   urltest    the one that brings an answer from a URL fastest
//   failover   the first that works
//
// How it works
//
// Each worker has a Group of its own, with its own members; the choice, and what it rests on, is in
// a GroupState that all share. One worker's Group measures for all.
//
// A member has failed when a connection has failed on its way (Error::of_the_way), whatever the
// destination was: its proxy cannot be reached, or does not take us. Then the next member is tried,
// but by a selector, which does as it was told. What a proxy says about a destination is handed on.
#pragma once

#include <boost/intrusive/list.hpp>

#include "outbound/group_state.h"
#include "outbound/outbound.h"
#include "outbound/tls.h"

namespace hairpin::outbound {

class Group final : public Outbound {
 public:
  /// `members` in the order of the state's.
  Group(std::string tag, Worker& worker, std::shared_ptr<GroupState> state,
        std::vector<std::shared_ptr<Outbound>> members)
      : Outbound(std::move(tag)),
        worker_(worker),
        state_(std::move(state)),
        members_(std::move(members)) {}

  /// Begins to measure, if nobody else does. Call once, when it is held.
  void start();

  bool carries(config::Network network) const override;
  bool tracks_connections() const override;
  Task<Result<Connection>> connect(Target to) override;
  Result<std::unique_ptr<UdpPath>> open_udp(UdpSink& sink) override;

 private:
  class Path;
  /// A connection that is broken off when another member is chosen.
  struct Tracked final : Attachment,
                         boost::intrusive::list_base_hook<
                             boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    Tracked(int fd, std::shared_ptr<Resets> both, std::string member)
        : socket(fd), resets(std::move(both)), through(std::move(member)) {}
    int socket;  ///< Of the connection that this is attached to.
    std::shared_ptr<Resets> resets;
    std::string through;
  };
  using Tried = std::vector<bool>;
  using Self = std::shared_ptr<Group>;

  config::Group::How how() const { return state_->settings().how; }
  /// The member to use next, of those that were not tried. Empty: there is none.
  std::optional<std::size_t> pick(config::Network network, const Tried& tried);
  void track(Connection& connection, std::size_t member);
  /// Breaks off what runs through other members.
  void interrupt(const std::string& member);

  static Task<> measure(std::weak_ptr<Group> group, std::shared_ptr<GroupState> state,
                        Worker& worker);
  /// All members side by side.
  Task<> measure_all();
  Task<> measure_one(std::size_t member);
  Task<Result<>> ask(Outbound& member);

  Worker& worker_;
  std::shared_ptr<GroupState> state_;
  std::vector<std::shared_ptr<Outbound>> members_;
  std::shared_ptr<TlsClient> tls_;  ///< Towards the server that is asked; made when needed.
  boost::intrusive::list<Tracked, boost::intrusive::constant_time_size<false>> tracked_;
};

}  // namespace hairpin::outbound
