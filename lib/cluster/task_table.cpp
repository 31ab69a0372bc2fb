#include "cluster/task_table.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "brood/coroutine/sleep.hpp"
#include "cluster/build.hpp"
#include "cluster/seal.hpp"

namespace brood::cluster::detail {
namespace {

constexpr std::size_t most_sent = 1024;  // chunks that wait for their results in the engine
constexpr std::size_t pack_above = 16;   // chunks that are asked for: below, each call goes by itself
constexpr std::size_t packed_items = 64;
constexpr std::size_t packed_bytes = 32 * 1024;
constexpr std::size_t batch_chunks = 64;
constexpr std::size_t batch_bytes = 256 * 1024;

}  // namespace

remote_job::~remote_job() = default;

task_table::task_table(std::shared_ptr<session> of, std::string build)
    : session_(std::move(of)), build_(std::move(build)), queue_(task_queue(build_)) {
  session_->add_listener(*this);
}

task_table::~task_table() { session_->remove_listener(*this); }

bool task_table::chunk::wanted() const noexcept {
  return std::any_of(parts.begin(), parts.end(), [](const part& each) { return each.job->wanted; });
}

void task_table::chunk::fail(const item_result& why) {
  std::vector<item_result> results(message.arguments.size(), why);
  deliver(*this, std::move(results));
}

void task_table::give(chunk_items items, bool may_pack) {
  if (closed_) throw closed("the connection to the cluster was closed");
  items.job->open += items.arguments.size();
  if (!may_pack || !pack(items)) {
    const auto made = std::make_shared<chunk>();
    made->message.function = items.function;
    made->message.deadline = items.settings.deadline.count();
    made->message.retries = items.settings.retries;
    made->host_losses = items.settings.host_losses;
    made->parts.push_back({items.job, items.first, items.arguments.size()});
    for (const auto& each : items.arguments) made->size += each.size();
    made->message.arguments = std::move(items.arguments);
    unsent_.push_back(made);
  }
  kick();
}

/// Many calls that wait to be sent go together: one step of the engine for all of them.
bool task_table::pack(chunk_items& items) {
  if (unsent_.empty() || unsent_.size() + sent_.size() < pack_above) return false;
  chunk& last = *unsent_.back();
  if (last.message.arguments.size() >= packed_items || last.size >= packed_bytes) return false;
  if (last.message.function != items.function || last.message.retries != items.settings.retries ||
      last.message.deadline != items.settings.deadline.count() ||
      last.host_losses != items.settings.host_losses) {
    return false;
  }
  last.parts.push_back({items.job, items.first, items.arguments.size()});
  for (auto& each : items.arguments) {
    last.size += each.size();
    last.message.arguments.push_back(std::move(each));
  }
  return true;
}

void task_table::kick() {
  if (flushing_ || unsent_.empty() || sent_.size() >= most_sent) return;
  flushing_ = session_->later(flush(shared_from_this()));
}

task<> task_table::flush(std::shared_ptr<task_table> self) {
  struct until_end {
    task_table& it;
    ~until_end() { it.flushing_ = false; }
  } guard{*self};
  co_await yield();  // what else is asked for in this turn goes along
  while (!self->unsent_.empty() && self->sent_.size() < most_sent) {
    co_await self->session_->joined();
    std::vector<std::pair<std::string, chunk_pointer>> batch;
    for (std::size_t size = 0; !self->unsent_.empty() && batch.size() < batch_chunks && size < batch_bytes;) {
      chunk_pointer next = std::move(self->unsent_.front());
      self->unsent_.pop_front();
      if (!next->wanted()) continue;
      size += next->size;
      batch.emplace_back(self->session_->new_id(), next);
      self->sent_.emplace(batch.back().first, std::move(next));
    }
    if (!batch.empty()) co_await self->put(std::move(batch));
  }
}

task<> task_table::put(std::vector<std::pair<std::string, chunk_pointer>> batch) {
  words arguments{queue_, "1", "", "0"};
  for (const auto& [id, each] : batch) {
    arguments.push_back(id);
    arguments.push_back(seal(session_->chosen().key, {"task", queue_, id}, write_task(each->message)));
    arguments.push_back(std::to_string(each->host_losses));
  }
  std::exception_ptr why;
  try {
    co_await session_->own("put", std::move(arguments));
  } catch (const session_over&) {  // all are unsent again
  } catch (const cancelled&) {
    throw;
  } catch (...) {
    why = std::current_exception();
  }
  if (!why) co_return;
  for (auto& [id, each] : batch) {
    if (take_sent(id) == nullptr) continue;
    for (const part& of : each->parts) of.job->fail(why);
  }
}

task_table::chunk_pointer task_table::take_sent(const std::string& id) {
  const auto found = sent_.find(id);
  if (found == sent_.end()) return nullptr;
  chunk_pointer result = std::move(found->second);
  sent_.erase(found);
  return result;
}

void task_table::deliver(chunk& done, std::vector<item_result>&& results) {
  std::size_t next = 0;
  for (const part& of : done.parts) {
    for (std::uint64_t i = 0; i < of.count; ++i, ++next) {
      --of.job->open;
      if (of.job->wanted) of.job->deliver(of.first + i, std::move(results[next]));
    }
  }
}

/// What comes a second time finds no chunk any more.
void task_table::on_result(const std::string& id, std::string&& sealed) {
  const chunk_pointer done = take_sent(id);
  if (done == nullptr) return;
  kick();
  try {
    const auto body = unseal(session_->chosen().key, {"result", queue_, id}, sealed);
    if (!body) throw error("sealed by no member of the cluster");
    auto results = read_results(*body);
    if (results.size() != done->message.arguments.size()) throw error("not as many as were asked for");
    deliver(*done, std::move(results));
  } catch (const error& wrong) {
    fmt::print(stderr, "brood: results of {} are not what they should be: {}\n", id, wrong.what());
    item_result refused;
    refused.what = item_result::kind::refused;
    done->fail(refused);
  }
}

void task_table::on_host_lost(const std::string& id) {
  const chunk_pointer done = take_sent(id);
  if (done == nullptr) return;
  kick();
  item_result lost;
  lost.what = item_result::kind::host_lost;
  done->fail(lost);
}

void task_table::on_over() {
  for (auto& [id, each] : std::exchange(sent_, {})) unsent_.push_front(std::move(each));
  if (!closed_) kick();
}

/// What the engine knows nothing of any more is put again; what it knows it does not take twice.
void task_table::on_restart() {
  std::vector<std::pair<std::string, chunk_pointer>> batch;
  for (const auto& each : sent_) {
    batch.push_back(each);
    if (batch.size() < batch_chunks && each.first != sent_.rbegin()->first) continue;
    session_->later([](std::shared_ptr<task_table> self, auto again) -> task<> {
      co_await self->put(std::move(again));
    }(shared_from_this(), std::exchange(batch, {})));
  }
}

void task_table::on_closed() {
  closed_ = true;
  const auto why = std::make_exception_ptr(closed("the connection to the cluster was closed"));
  auto all = std::exchange(unsent_, {});
  for (auto& [id, each] : std::exchange(sent_, {})) all.push_back(std::move(each));
  for (const auto& each : all) {
    for (const part& of : each->parts) of.job->fail(why);
  }
}

void task_table::give_up(const job_pointer& job) {
  job->wanted = false;
  if (job->open == 0 || closed_) return;
  std::erase_if(unsent_, [](const chunk_pointer& each) { return !each->wanted(); });
  words arguments{queue_};
  std::erase_if(sent_, [&](const auto& each) {
    if (each.second->wanted()) return false;
    arguments.push_back(each.first);
    return true;
  });
  if (arguments.size() == 1) return;
  session_->later([](std::shared_ptr<session> self, words ids) -> task<> {
    co_await self->own("cancel", std::move(ids));
  }(session_, std::move(arguments)));
  kick();
}

namespace {

task_table& table_of(membership& of) {
  if (of.tasks == nullptr) of.tasks = std::make_shared<task_table>(of.it, build_of_this_program());
  return *of.tasks;
}

}  // namespace

void give(const membership_pointer& of, chunk_items items, bool may_pack) {
  table_of(*of).give(std::move(items), may_pack);
}

void give_up(const membership_pointer& of, const job_pointer& job) noexcept {
  job->wanted = false;
  try {
    table_of(*of).give_up(job);
  } catch (...) {  // no memory to say so: it runs, and nobody hears of it
  }
}

task<std::uint64_t> count_workers(membership_pointer of) {
  answer hosts = co_await of->it->ask("sessions", words_of("host"));
  std::uint64_t workers = 0;
  for (auto& each : hosts.list()) {
    if (each.at(1).string() == table_of(*of).build()) workers += std::stoull(each.at(3).string());
  }
  co_return std::max<std::uint64_t>(workers, 1);
}

}  // namespace brood::cluster::detail
