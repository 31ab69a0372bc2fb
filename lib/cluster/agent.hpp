// agent: a host's side. One loop that never runs the program's functions holds the leases; the workers are a pool of its
// children. So no lease depends on how long a task runs.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "brood/pool/pool.hpp"
#include "cluster/session.hpp"
#include "cluster/task_message.hpp"

namespace brood::cluster::detail {

class agent final : public session_listener {
 public:
  agent(runtime& loop, settings chosen, int workers);
  ~agent() override;
  agent(const agent&) = delete;
  agent& operator=(const agent&) = delete;

  /// Joins and works until `drain`, and then to the end of what runs.
  task<> run();
  /// Takes nothing more.
  void drain() noexcept { draining_.set(); }

 private:
  struct running {
    std::size_t items = 0;
    brood::detail::local_event stop;
  };

  task<> take_and_run(nursery& n, const pool& workers);
  task<answer> take();
  std::size_t room() const;
  task<> until_room();
  task<> run_chunk(const pool& workers, std::string id, std::string sealed);
  task<std::vector<item_result>> work(const pool& workers, const std::string& id, task_message message);
  task<std::vector<outcome<bytes>>> work_on(const pool& workers, const task_message& message,
                                            const std::vector<std::size_t>& which);
  void finish(const std::string& id, const std::vector<item_result>& results);
  task<> send_results();
  void on_cancel(const std::string& id) override;
  void on_over() override;

  runtime& loop_;
  std::shared_ptr<session> session_;
  std::string queue_;
  int workers_;
  std::map<std::string, std::shared_ptr<running>> running_;   // by id
  std::vector<std::pair<std::string, std::string>> results_;  // to be sent
  bool sending_ = false;
  brood::detail::local_event changed_;
  brood::detail::local_event draining_;
};

}  // namespace brood::cluster::detail
