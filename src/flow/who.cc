#include "flow/who.h"

#include <algorithm>

namespace hairpin {

namespace {

constexpr std::size_t kLately = 16;
/// Questions that wait; whoever comes when there are more gets no answer but "nobody".
constexpr std::size_t kMaxWaiting = 4096;
constexpr std::size_t kMaxUsers = 1024;

}  // namespace

Who::~Who() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  more_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Who::find(const Flow& flow, const Executor& executor, std::function<void(Owner)> done) {
  const std::lock_guard lock(mutex_);
  if (questions_.size() >= kMaxWaiting) {
    return asio::post(executor, [done = std::move(done)] { done(nullptr); });
  }
  questions_.push_back({flow, executor, std::move(done)});
  if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
  more_.notify_one();
}

void Who::serve() {
  for (;;) {
    std::unique_lock lock(mutex_);
    more_.wait(lock, [this] { return ended_ || !questions_.empty(); });
    if (ended_) return;
    Question question = std::move(questions_.front());
    questions_.pop_front();
    lock.unlock();
    asio::post(question.executor,
               [done = std::move(question.done), owner = look_up(question.flow)] { done(owner); });
  }
}

Owner Who::look_up(const Flow& flow) {
  const auto protocol =
      flow.network == Network::tcp ? platform::Transport::tcp : platform::Transport::udp;
  const auto socket = sockets_.find(protocol, flow.client, flow.destination);
  // A socket whose last descriptor is closed has no number any more.
  if (!socket || socket->inode == 0) return nullptr;
  auto process = std::make_shared<rule::Process>();
  process->user_id = socket->user;
  if (users_.size() >= kMaxUsers) users_.clear();
  const auto [user, fresh] = users_.try_emplace(socket->user);
  if (fresh) user->second = platform::user_name(socket->user);
  process->user = user->second;
  if (const pid_t number = holder(*socket); number != 0) {
    process->path = platform::executable_of(number);
  }
  return process;
}

pid_t Who::holder(const platform::SocketFinder::Found& socket) {
  auto known = std::ranges::find_if(
      lately_, [&socket](pid_t process) { return platform::holds(process, socket.inode); });
  pid_t found = 0;
  if (known != lately_.end()) {
    found = *known;
    lately_.erase(known);
  } else {
    found = platform::first_holder(socket.inode, socket.user);
  }
  if (found != 0) lately_.push_front(found);
  if (lately_.size() > kLately) lately_.pop_back();
  return found;
}

Task<Owner> find_owner(Who& who, const Flow& flow, Executor executor) {
  struct Waiting {
    explicit Waiting(const Executor& on) : timer(on, Clock::time_point::max()) {}
    Timer timer;
    Owner owner;
  };
  const auto waiting = std::make_shared<Waiting>(executor);
  who.find(flow, executor, [waiting](Owner owner) {
    waiting->owner = std::move(owner);
    waiting->timer.cancel();
  });
  (void)co_await waiting->timer.async_wait(kAsTuple);
  co_return waiting->owner;
}

}  // namespace hairpin
