// Permits and events.
#include "brood/cluster/detail/membership.hpp"
#include "brood/cluster/error.hpp"
#include "cluster/session.hpp"

namespace brood::cluster::detail {

struct permit_state {
  membership_pointer of;
  std::string name;
  std::string holder;
  std::string epoch;
  std::shared_ptr<session::permit_record> record;
};

namespace {

task<> release_in(std::shared_ptr<session> self, std::string name, std::string holder) {
  co_await self->own("release", words_of(name, holder));
}

void give_up(session& self, const std::string& name, const std::string& holder, const std::string& epoch) {
  self.permits().erase(name + "|" + holder);
  if (self.epoch() == epoch) self.later(release_in(self.shared_from_this(), name, holder));
}

}  // namespace

permit_hold& permit_hold::operator=(permit_hold&& other) noexcept {
  permit_hold taken(std::move(other));
  std::swap(state_, taken.state_);
  return *this;
}

permit_hold::~permit_hold() { give_back(); }

void permit_hold::give_back() noexcept {
  if (state_ == nullptr) return;
  try {
    give_up(*state_->of->it, state_->name, state_->holder, state_->epoch);
  } catch (...) {  // no memory for it: the engine takes it when the session ends
  }
  state_ = nullptr;
}

void permit_hold::release() { give_back(); }
bool permit_hold::is_lost() const noexcept { return state_ == nullptr || state_->record->lost; }
bool permit_hold::abandoned() const noexcept { return state_ != nullptr && state_->record->abandoned; }
std::uint64_t permit_hold::token() const {
  return state_ == nullptr ? 0 : std::stoull(state_->record->token);
}

task<std::optional<permit_hold>> acquire(membership_pointer of, std::string name, std::uint64_t permits,
                                         bool wait) {
  const std::shared_ptr<session> self = of->it;
  for (;;) {
    co_await self->joined();
    const auto state = std::make_shared<permit_state>();
    state->of = of;
    state->name = name;
    state->epoch = self->epoch();
    state->holder = self->new_id();
    state->record = std::make_shared<session::permit_record>();
    self->permits().emplace(name + "|" + state->holder, state->record);
    permit_hold hold(state);  // gives up whatever comes if this ends here
    session::permit_record& record = *state->record;
    try {
      while (!record.granted && !record.lost) {
        answer granted = co_await self->own(
            "acquire", words_of(name, std::to_string(permits), state->holder, wait ? "1" : "0"));
        if (record.granted || record.lost) break;
        if (!granted.is_nothing()) {
          record.token = granted.at(0).string();
          record.abandoned = granted.at(1).number() != 0;
          record.granted = true;
        } else if (!wait) {
          co_return std::nullopt;
        } else {
          co_await record.changed.wait();
        }
      }
    } catch (const session_over&) {
    }
    if (record.granted && !record.lost) co_return std::optional<permit_hold>(std::move(hold));
  }
}

task<> set_event(membership_pointer of, std::string name, bool yes) {
  co_await of->it->once(yes ? "event_set" : "event_clear", words_of(name));
}

task<bool> is_event_set(membership_pointer of, std::string name) {
  const answer set = co_await of->it->ask("event_is_set", words_of(name));
  co_return set.number() != 0;
}

task<> wait_for_event(membership_pointer of, std::string name) {
  const std::shared_ptr<session> self = of->it;
  session::watch set(self, "v:" + name);
  for (;;) {
    set.rearm();
    const answer now = co_await self->once("event_wait", words_of(name));
    if (now.number() == 1) co_return;
    co_await set.changed();
  }
}

}  // namespace brood::cluster::detail
