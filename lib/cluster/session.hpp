// session: this process's membership in a cluster, and all its requests.
//
//   joining --join--> member --no beat acknowledged for 0.8 of the lease, or the engine says DEAD--> joining
//
// While it is a member it has an epoch; with a new one everything that was held is another's. The engine's word reaches
// the session by its inbox, a stream, which a second connection reads.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "brood/cluster/settings.hpp"
#include "brood/coroutine/nursery.hpp"
#include "cluster/redis_link.hpp"

namespace brood::cluster::detail {

/// What the process is in the cluster.
struct role {
  std::string kind = "client";
  std::string build;
  std::string name;
  int workers = 0;
};

/// The session in which something was held or begun is over.
class session_over : public error {
 public:
  session_over() : error("the session with the cluster was lost and begun anew") {}
};

/// Hears what only one part of the library cares for. Must not throw.
class session_listener {
 public:
  virtual ~session_listener() = default;
  virtual void on_result(const std::string&, std::string&&) {}
  virtual void on_host_lost(const std::string&) {}
  virtual void on_cancel(const std::string&) {}
  /// All that was held is lost.
  virtual void on_over() {}
  /// There is a new epoch.
  virtual void on_joined() {}
  /// The engine was restarted, and may have lost its last steps, or all.
  virtual void on_restart() {}
  /// Nothing is to come any more.
  virtual void on_closed() {}
};

class session : public std::enable_shared_from_this<session> {
 public:
  session(runtime& loop, settings chosen, role what);

  /// Runs the session until `stop`.
  task<> live();
  void stop() noexcept { stopping_.set(); }
  /// Waits until there is an epoch; throws why there is none.
  task<> joined();
  bool is_member() const noexcept { return !epoch_.empty(); }
  const std::string& epoch() const noexcept { return epoch_; }
  const settings& chosen() const noexcept { return settings_; }
  const role& what() const noexcept { return role_; }
  /// Leaves the cluster and ends; what is held goes back at once.
  task<> leave();

  /// Reads; may be asked twice.
  task<answer> ask(std::string_view function, words arguments);
  /// Changes something, exactly once, in whatever session. Throws what the engine refuses.
  task<answer> once(std::string_view function, words arguments);
  /// The same, but in the present session only: else throws `session_over`.
  task<answer> own(std::string_view function, words arguments);
  /// Does it beside everything else, for as long as the session lives; what fails is dropped. False if it has ended.
  bool later(task<> what);
  /// `E.n`, never given twice.
  std::string new_id() { return epoch_ + "." + std::to_string(++last_id_); }

  /// Waits for the engine's word that `what` has changed. Made before the question to which "not yet" is the answer.
  class watch {
   public:
    watch(std::shared_ptr<session> self, std::string what);
    ~watch();
    watch(const watch&) = delete;
    watch& operator=(const watch&) = delete;
    /// Before each question.
    void rearm() noexcept { seen_ = entry_->version; }
    task<> changed();

   private:
    friend class session;
    struct entry {
      std::uint64_t version = 0;
      int watchers = 0;
      brood::detail::local_event event;
    };
    std::shared_ptr<session> self_;
    std::string what_;
    std::shared_ptr<entry> entry_;
    std::uint64_t seen_;
  };

  /// A permit that is waited for or held. `lost`: it was, and is another's by now.
  struct permit_record {
    std::string token;
    bool abandoned = false;
    bool granted = false;
    bool lost = false;
    brood::detail::local_event changed;
  };
  std::map<std::string, std::shared_ptr<permit_record>>& permits() noexcept {
    return permits_;
  }  // semaphore|holder

  /// Leases of this session: queue|id.
  std::set<std::string>& leases() noexcept { return leases_; }
  task<answer> take(const std::string& queue, std::size_t most, bool wait);

  void add_listener(session_listener& listener) { listeners_.push_back(&listener); }
  void remove_listener(session_listener& listener) { std::erase(listeners_, &listener); }

 private:
  task<> greet(redis_link& link);
  task<> authenticate(redis_link& link);
  task<> keep();
  task<> join_once();
  task<> beat_until_over();
  task<> listen();
  task<> listen_to(std::string epoch);
  void heard(answer& message);
  void heard_wake(const std::string& what);
  void end_epoch();
  void check_engine(const std::string& info);
  void restarted();
  task<> reconcile();
  void wake_everyone();
  words request(std::string_view function) const;
  task<answer> carry_out(std::string_view function, words arguments, bool in_any_session);

  runtime& loop_;
  settings settings_;
  role role_;
  std::string prefix_;
  std::chrono::milliseconds reply_deadline_;
  redis_link commands_;
  redis_link inbox_;
  std::string epoch_;
  std::string origin_;
  std::string run_;
  std::string last_read_;
  bool reread_ = false;  // what came before the restart, as something may come twice
  std::uint64_t last_request_ = 0;
  std::uint64_t last_id_ = 0;
  std::set<std::uint64_t> open_requests_;
  std::exception_ptr refusal_;
  brood::detail::local_event membership_;  // changed
  brood::detail::local_event stopping_;
  brood::detail::local_event takes_over_;
  int takes_ = 0;
  bool reconciling_ = false;
  nursery* tasks_ = nullptr;
  std::unordered_map<std::string, std::shared_ptr<watch::entry>> watches_;
  std::map<std::string, std::shared_ptr<permit_record>> permits_;
  std::set<std::string> leases_;
  std::vector<session_listener*> listeners_;
};

/// Throws what a failure of the engine means.
[[noreturn]] void throw_failure(const answer& failure);

}  // namespace brood::cluster::detail
