// task_table: chunks of calls on their way to the hosts and back. It keeps the arguments until the result is there, and sends
// all again under a new session, so no loss of the engine's loses a call.
//
//   unsent --put--> sent --result--> gone        sent --the session is over--> unsent
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/session.hpp"
#include "cluster/task_message.hpp"

namespace brood::cluster::detail {

class task_table final : public session_listener, public std::enable_shared_from_this<task_table> {
 public:
  task_table(std::shared_ptr<session> of, std::string build);
  ~task_table() override;
  task_table(const task_table&) = delete;
  task_table& operator=(const task_table&) = delete;

  void give(chunk_items items, bool may_pack);
  void give_up(const job_pointer& job);
  const std::string& build() const noexcept { return build_; }

 private:
  struct part {
    job_pointer job;
    std::uint64_t first;
    std::uint64_t count;
  };
  struct chunk {
    task_message message;
    std::uint32_t host_losses = 0;
    std::size_t size = 0;
    std::vector<part> parts;

    bool wanted() const noexcept;
    void fail(const item_result& why);
  };
  using chunk_pointer = std::shared_ptr<chunk>;

  void on_result(const std::string& id, std::string&& sealed) override;
  void on_host_lost(const std::string& id) override;
  void on_over() override;
  void on_restart() override;
  void on_closed() override;

  bool pack(chunk_items& items);
  void kick();
  static task<> flush(std::shared_ptr<task_table> self);
  task<> put(std::vector<std::pair<std::string, chunk_pointer>> batch);
  chunk_pointer take_sent(const std::string& id);
  static void deliver(chunk& done, std::vector<item_result>&& results);

  std::shared_ptr<session> session_;
  std::string build_;
  std::string queue_;
  std::map<std::string, chunk_pointer> sent_;  // by id
  std::deque<chunk_pointer> unsent_;
  bool flushing_ = false;
  bool closed_ = false;
};

}  // namespace brood::cluster::detail
