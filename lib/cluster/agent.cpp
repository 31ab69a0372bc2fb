#include "cluster/agent.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "brood/cluster/detail/registry.hpp"
#include "brood/cluster/error.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_any.hpp"
#include "cluster/build.hpp"
#include "cluster/seal.hpp"

namespace brood::cluster::detail {
namespace {

constexpr std::size_t batch_results = 64;

/// Runs in a worker.
bytes run_item(work_item item) {
  return function_node::find(item.function).run(item.arguments, [] {});
}

role host_role(int workers) {
  role result;
  result.kind = "host";
  result.build = build_of_this_program();
  result.name = host_name();
  result.workers = workers;
  return result;
}

bool has_died(const outcome<bytes>& result) {
  if (result.has_value()) return false;
  try {
    std::rethrow_exception(result.error());
  } catch (const child_died&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

agent::agent(runtime& loop, settings chosen, int workers)
    : loop_(loop),
      session_(std::make_shared<session>(loop, std::move(chosen), host_role(workers))),
      queue_(task_queue(session_->what().build)),
      workers_(workers) {
  session_->add_listener(*this);
}

agent::~agent() { session_->remove_listener(*this); }

task<> agent::run() {
  const pool workers = co_await pool::open(workers_);
  loop_.start(session_->live(), [](std::exception_ptr) {});
  std::exception_ptr why;
  try {
    co_await when_any(session_->joined(), draining_.wait());
    co_await with_nursery([&](nursery& n) -> task<> {
      while (!draining_.is_set()) co_await take_and_run(n, workers);
      while (!running_.empty() || sending_) co_await changed_.wait();
    });
  } catch (...) {
    why = std::current_exception();
  }
  const bool cancelled_itself = (co_await this_task::stop_token()).stop_requested();
  if (!cancelled_itself) {
    co_await session_->leave();
    co_await workers.close();
  }
  session_->stop();
  if (why) std::rethrow_exception(why);
}

/// When there is room, as much as there is room for, waiting until there is something. One watch for all tries: a wake that
/// this host does not follow is passed on to another, and one that it follows must not be, or idle hosts would wake each
/// other for ever.
task<> agent::take_and_run(nursery& n, const pool& workers) {
  co_await until_room();
  session::watch tasks_come(session_, "q:" + queue_);
  while (!draining_.is_set()) {
    tasks_come.rearm();
    bool wait = false;
    try {
      // What is taken unseen when this is told to end goes back when it leaves.
      auto got = co_await when_any(take(), draining_.wait());
      if (got.index() != 0) co_return;
      answer taken = std::move(std::get<0>(got));
      for (auto& each : taken.list()) {
        std::string id = each.at(0).string();
        running_.emplace(id, std::make_shared<running>());
        n.start(run_chunk(workers, std::move(id), std::move(each.at(1)).take_string()));
      }
      if (!taken.is_nothing()) co_return;
      wait = true;
    } catch (const session_over&) {
    } catch (const engine_unavailable&) {
    }
    if (wait) co_await when_any(tasks_come.changed(), draining_.wait());
  }
}

task<answer> agent::take() {
  co_await session_->joined();
  co_return co_await session_->take(queue_, room(), true);
}

/// How many chunks to ask for; one at least, as two are run at once however large they are.
std::size_t agent::room() const {
  const auto enough = 2 * static_cast<std::size_t>(workers_);
  std::size_t items = 0;
  for (const auto& [id, each] : running_) items += each->items;
  return enough > items ? std::min<std::size_t>(enough - items, 64) : 1;
}

task<> agent::until_room() {
  for (;;) {
    std::size_t items = 0;
    for (const auto& [id, each] : running_) items += each->items;
    if (draining_.is_set() || running_.size() < 2 || items < static_cast<std::size_t>(2 * workers_))
      co_return;
    co_await when_any(changed_.wait(), draining_.wait());
  }
}

task<> agent::run_chunk(const pool& workers, std::string id, std::string sealed) {
  const std::shared_ptr<running> self = running_.at(id);
  struct until_end {
    agent& it;
    const std::string& id;
    const std::shared_ptr<running>& self;
    ~until_end() {
      const auto found = it.running_.find(id);
      if (found != it.running_.end() && found->second == self) it.running_.erase(found);
      it.changed_.notify_all();
    }
  } guard{*this, id, self};
  std::vector<item_result> results;
  try {
    const auto body = unseal(session_->chosen().key, {"task", queue_, id}, sealed);
    if (!body) throw decode_error("sealed by no member of the cluster");
    task_message message = read_task(*body);
    self->items = message.arguments.size();
    auto ended = co_await when_any(work(workers, id, std::move(message)), self->stop.wait());
    if (ended.index() != 0) {  // cancelled, or another host's by now
      session_->leases().erase(queue_ + "|" + id);
      co_return;
    }
    results = std::move(std::get<0>(ended));
  } catch (const decode_error& wrong) {
    fmt::print(stderr, "brood: refused the task {}: {}\n", id, wrong.what());
    item_result refused;
    refused.what = item_result::kind::refused;
    results.assign(1, refused);
  } catch (const session_over&) {
    session_->leases().erase(queue_ + "|" + id);
    co_return;
  }
  finish(id, results);
}

/// Items whose workers die are tried again; the engine counts, as the next try may be another host's.
task<std::vector<item_result>> agent::work(const pool& workers, const std::string& id, task_message message) {
  std::vector<item_result> results(message.arguments.size());
  std::vector<std::size_t> open(message.arguments.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  while (!open.empty()) {
    auto ended = co_await work_on(workers, message, open);
    std::vector<std::size_t> again;
    for (std::size_t i = 0; i < open.size(); ++i) {
      const std::size_t item = open[i];
      if (ended[i].has_value()) {
        results[item].value = std::move(ended[i]).value();
        continue;
      }
      if (message.retries != 0 && has_died(ended[i])) {
        const answer deaths = co_await session_->own("died", words_of(queue_, id, std::to_string(item)));
        if (deaths.number() <= static_cast<std::int64_t>(message.retries)) {
          again.push_back(item);
          continue;
        }
      }
      results[item] = result_of(ended[i].error(), session_->what().name);
    }
    open = std::move(again);
  }
  co_return results;
}

task<std::vector<outcome<bytes>>> agent::work_on(const pool& workers, const task_message& message,
                                                 const std::vector<std::size_t>& which) {
  std::vector<work_item> items(which.size());
  for (std::size_t i = 0; i < which.size(); ++i) {
    items[i].function = message.function;
    items[i].arguments = message.arguments[which[i]];
  }
  const auto share = std::max<std::uint64_t>(1, items.size() / static_cast<std::size_t>(4 * workers_));
  auto operation = workers.map<run_item>(items).chunk(share).collect();
  if (message.deadline > 0) std::move(operation).deadline(std::chrono::nanoseconds(message.deadline));
  co_return co_await std::move(operation);
}

/// Results of one turn go together.
void agent::finish(const std::string& id, const std::vector<item_result>& results) {
  results_.emplace_back(id, seal(session_->chosen().key, {"result", queue_, id}, write_results(results)));
  if (!sending_) sending_ = session_->later(send_results());
}

task<> agent::send_results() {
  struct until_end {
    agent& it;
    ~until_end() {
      it.sending_ = false;
      it.changed_.notify_all();
    }
  } guard{*this};
  co_await yield();
  while (!results_.empty()) {
    words arguments{queue_, "1"};
    const std::size_t count = std::min(results_.size(), batch_results);
    for (std::size_t i = 0; i < count; ++i) {
      session_->leases().erase(queue_ + "|" + results_[i].first);
      arguments.push_back(std::move(results_[i].first));
      arguments.push_back(std::move(results_[i].second));
    }
    results_.erase(results_.begin(), results_.begin() + static_cast<std::ptrdiff_t>(count));
    try {
      co_await session_->own("done", std::move(arguments));
    } catch (const session_over&) {  // others run those tasks by now
    } catch (const engine_unavailable&) {
    }
  }
}

void agent::on_cancel(const std::string& id) {
  const auto found = running_.find(id);
  if (found != running_.end()) found->second->stop.set();
}

/// Another host gets what runs here, so it must not run here any more.
void agent::on_over() {
  results_.clear();
  for (const auto& [id, each] : running_) each->stop.set();
}

}  // namespace brood::cluster::detail
