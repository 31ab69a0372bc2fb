// Queues: put, take, settle. Items are sealed with the queue's name and their id.
#include <fmt/core.h>

#include <optional>
#include <utility>

#include "brood/cluster/detail/membership.hpp"
#include "brood/cluster/error.hpp"
#include "cluster/seal.hpp"
#include "cluster/session.hpp"
#include "runtime/escape.hpp"

namespace brood::cluster::detail {
namespace {

constexpr std::size_t batch_items = 256;
constexpr std::size_t batch_bytes = 256 * 1024;

/// A take, and whether somebody waits for what it gets.
struct taking {
  std::string queue;
  std::optional<answer> got;
  std::exception_ptr failure;
  bool wanted = true;
  brood::detail::local_event over;
};

task<> give_back(std::shared_ptr<session> self, std::shared_ptr<taking> what) {
  words returned{what->queue};
  for (auto& item : what->got->list()) {
    returned.push_back(item.at(0).string());
    self->leases().erase(what->queue + "|" + returned.back());
  }
  if (returned.size() > 1) co_await self->own("give_back", std::move(returned));
}

task<> take_beside(std::shared_ptr<session> self, std::shared_ptr<taking> what, std::size_t most, bool wait) {
  try {
    what->got = co_await self->take(what->queue, most, wait);
  } catch (const cancelled&) {
    what->failure = std::make_exception_ptr(closed("the connection to the cluster was closed"));
  } catch (...) {
    what->failure = std::current_exception();
  }
  what->over.set();
  if (!what->wanted && what->got) co_await give_back(self, what);
}

/// Not cancelled when its caller is: what the engine gives all the same goes back.
task<answer> take_once(std::shared_ptr<session> self, std::string queue, std::size_t most, bool wait) {
  const auto what = std::make_shared<taking>();
  what->queue = std::move(queue);
  struct unwanted {
    const std::shared_ptr<session>& self;
    const std::shared_ptr<taking>& it;
    ~unwanted() {
      if (!std::exchange(it->wanted, false)) return;
      if (it->got) self->later(give_back(self, it));
    }
  } guard{self, what};
  if (!self->later(take_beside(self, what, most, wait))) {
    throw closed("the connection to the cluster was closed");
  }
  co_await what->over.wait();
  if (what->failure) std::rethrow_exception(what->failure);
  what->wanted = false;
  co_return std::move(*what->got);
}

task<> settle_quietly(std::shared_ptr<session> self, std::string function, words arguments,
                      std::string epoch) {
  if (self->epoch() == epoch) co_await self->own(function, std::move(arguments));
}

}  // namespace

task<> queue_core::declare() const {
  if (declared_) co_return;
  co_await of_->it->once("declare", words_of(name_, std::to_string(capacity_)));
  declared_ = true;
}

task<std::size_t> queue_core::put(std::shared_ptr<const queue_core> self, std::vector<bytes> values,
                                  bool wait) {
  session& to = *self->of_->it;
  co_await self->declare();
  co_await to.joined();
  session::watch room(self->of_->it, "p:" + self->name_);
  std::size_t first = 0;
  while (first < values.size()) {
    room.rearm();
    words arguments{self->name_, "0", std::to_string(self->capacity_), wait ? "1" : "0"};
    std::size_t size = 0;
    for (std::size_t i = first; i < values.size() && i - first < batch_items && size < batch_bytes; ++i) {
      std::string id = to.new_id();
      arguments.push_back(id);
      arguments.push_back(seal(to.chosen().key, {"item", self->name_, id}, as_text(values[i])));
      arguments.emplace_back();
      size += values[i].size();
    }
    const std::size_t asked = (arguments.size() - 4) / 3;
    const answer put = co_await to.once("put", std::move(arguments));
    const auto count = static_cast<std::size_t>(put.number());
    first += count;
    if (count == asked) continue;
    if (!wait) break;
    co_await room.changed();
  }
  co_return first;
}

task<std::vector<leased_item>> queue_core::take(std::shared_ptr<const queue_core> self, std::size_t most,
                                                bool wait) {
  const std::shared_ptr<session> from = self->of_->it;
  co_await self->declare();
  session::watch items_come(from, "q:" + self->name_);
  for (;;) {
    items_come.rearm();
    co_await from->joined();
    const std::string epoch = from->epoch();
    std::vector<leased_item> items;
    try {
      answer taken = co_await take_once(from, self->name_, most, wait);
      if (from->epoch() != epoch) continue;
      for (auto& item : taken.list()) {
        leased_item one;
        one.id = item.at(0).string();
        one.epoch = epoch;
        const std::string& sealed = item.at(1).string();
        one.losses = static_cast<std::uint32_t>(std::stoul(item.at(2).string()));
        const auto body = unseal(from->chosen().key, {"item", self->name_, one.id}, sealed);
        if (!body) {
          fmt::print(stderr, "brood: dropped an item of queue {} that no member of the cluster has put\n",
                     brood::detail::on_one_line(self->name_));
          self->settle_later({one.id}, epoch);
          continue;
        }
        const auto data = as_data(*body);
        one.value.assign(data.begin(), data.end());
        items.push_back(std::move(one));
      }
      if (!items.empty() || !wait) co_return items;
      if (!taken.is_nothing()) continue;
    } catch (const session_over&) {
      continue;
    }
    co_await items_come.changed();
  }
}

task<bool> queue_core::settle(std::shared_ptr<const queue_core> self, std::vector<std::string> ids,
                              std::string epoch) {
  session& of = *self->of_->it;
  if (of.epoch() != epoch) co_return false;
  const std::size_t count = ids.size();
  words arguments{self->name_, "0"};
  for (auto& id : ids) {
    of.leases().erase(self->name_ + "|" + id);
    arguments.push_back(std::move(id));
    arguments.emplace_back();
  }
  try {
    const answer settled = co_await of.own("done", std::move(arguments));
    co_return static_cast<std::size_t>(settled.number()) == count;
  } catch (const session_over&) {
    co_return false;
  }
}

void queue_core::settle_later(std::vector<std::string> ids, const std::string& epoch) const {
  words arguments{name_, "0"};
  for (auto& id : ids) {
    of_->it->leases().erase(name_ + "|" + id);
    arguments.push_back(std::move(id));
    arguments.emplace_back();
  }
  of_->it->later(settle_quietly(of_->it, "done", std::move(arguments), epoch));
}

void queue_core::give_back_later(std::vector<std::string> ids, const std::string& epoch) const {
  words arguments{name_};
  for (auto& id : ids) {
    of_->it->leases().erase(name_ + "|" + id);
    arguments.push_back(std::move(id));
  }
  of_->it->later(settle_quietly(of_->it, "give_back", std::move(arguments), epoch));
}

bool queue_core::is_ours(const std::string& epoch) const { return of_->it->epoch() == epoch; }

task<queue_state> queue_core::state(std::shared_ptr<const queue_core> self) {
  answer state = co_await self->of_->it->ask("state_of_queue", words_of(self->name_));
  queue_state result;
  result.ready = static_cast<std::uint64_t>(state.at(0).number());
  result.leased = static_cast<std::uint64_t>(state.at(1).number());
  result.closed = state.at(2).number() != 0;
  co_return result;
}

task<> queue_core::close(std::shared_ptr<const queue_core> self) {
  co_await self->declare();
  co_await self->of_->it->once("close", words_of(self->name_));
}

task<> queue_core::join(std::shared_ptr<const queue_core> self) {
  session::watch settled(self->of_->it, "j:" + self->name_);
  for (;;) {
    settled.rearm();
    const answer over = co_await self->of_->it->once("joined", words_of(self->name_));
    if (over.number() == 1) co_return;
    co_await settled.changed();
  }
}

task<> queue_core::destroy(std::shared_ptr<const queue_core> self) {
  co_await self->of_->it->once("destroy", words_of(self->name_));
  self->declared_ = false;
}

}  // namespace brood::cluster::detail
