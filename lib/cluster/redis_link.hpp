// redis_link: requests to the engine over one connection, which is made anew whenever it breaks.
//
//   waiting --> connecting --> greeting --> ready
//      ^------------+-------------+-----------+   whatever fails: the socket, a deadline, a word such as LOADING
//
// A request is sent once the link is ready, and again after each break until its answer has come: so whatever is sent
// here must do no harm twice (see `once` in functions.lua). A connection whose engine does not answer for
// `reply_deadline` is broken, whatever TCP says.
#pragma once

#include <deque>
#include <functional>
#include <optional>

#include "brood/channel/address.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "cluster/answer_reader.hpp"

namespace brood::cluster::detail {

class redis_link {
 public:
  /// What is to be said before anything else, by `greet`; what it throws breaks the connection.
  using greeting = std::function<task<>(redis_link&)>;

  redis_link(runtime& loop, address where, std::chrono::milliseconds reply_deadline, greeting first_words);
  ~redis_link();
  redis_link(const redis_link&) = delete;
  redis_link& operator=(const redis_link&) = delete;

  /// The state machine. Runs until it is cancelled; then whatever waits gets `closed`.
  task<> drive();

  /// Waits for the answer, a failure too. `engine_time`: how long the engine may take to begin with it. Throws
  /// `engine_unavailable` if the engine cannot be reached by `until`, right to a few seconds. Cancellation: the engine
  /// may have carried it out.
  task<answer> call(words request, clock::time_point until, std::chrono::milliseconds engine_time = {});
  /// The same, and nobody waits for the answer.
  void post(const words& request, clock::time_point until);
  /// Within the greeting. Throws what broke the connection.
  task<answer> greet(words request);

  /// Why the last connection broke; empty if none has.
  const std::string& trouble() const noexcept { return trouble_; }
  /// The greeting has found that no later try can do better: fails what waits, and goes on trying, slowly.
  void refuse(std::exception_ptr why);
  /// Breaks the connection: what was sent on it is sent again on the next.
  void reconnect();

 private:
  enum class state : std::uint8_t { waiting, connecting, greeting, ready };
  struct request;
  using request_pointer = std::shared_ptr<request>;

  struct flush_node : brood::detail::ready_node {
    redis_link* self = nullptr;
    bool posted = false;
  };

  task<> connect();
  task<> stay();
  void disconnect(const std::exception_ptr& why);
  void enqueue(const request_pointer& what);
  void send_waiting();
  void send(const request_pointer& what);
  void on_ready(int events) noexcept;
  void read();
  void write();
  void answered(answer&& what);
  void broke(std::exception_ptr why) noexcept;
  void expire();
  void fail_all(const std::exception_ptr& why);
  std::chrono::milliseconds pause();

  runtime& loop_;
  address where_;
  std::chrono::milliseconds reply_deadline_;
  greeting greeting_;
  state state_ = state::waiting;
  unsigned attempts_ = 0;
  std::string trouble_;

  unique_fd socket_;
  std::optional<fd_watch> watch_;
  std::optional<answer_reader> reader_;
  std::string out_;
  std::size_t out_sent_ = 0;
  std::deque<request_pointer> waiting_;  // to be sent
  std::deque<request_pointer> sent_;     // whose answers are to come, in this order
  clock::time_point progress_;           // when the last byte went or came
  std::exception_ptr broken_;
  brood::detail::local_event changed_;
  flush_node flush_;
};

}  // namespace brood::cluster::detail
